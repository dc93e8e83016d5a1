package account

import (
	"context"

	"github.com/cellar-commerce/cellar/internal/fence"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// RequestVerification implements AccountService.
func (s *Service) RequestVerification(ctx context.Context, _ *accountv1.RequestVerificationRequest) (*accountv1.RequestVerificationResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	return &accountv1.RequestVerificationResponse{}, s.requestVerification(ctx, p.CustomerID)
}

// VerifyEmail implements AccountService.
func (s *Service) VerifyEmail(ctx context.Context, req *accountv1.VerifyEmailRequest) (*accountv1.VerifyEmailResponse, error) {
	return &accountv1.VerifyEmailResponse{}, s.verifyEmail(ctx, req.GetToken())
}

// RequestReset implements AccountService.
func (s *Service) RequestReset(ctx context.Context, req *accountv1.RequestResetRequest) (*accountv1.RequestResetResponse, error) {
	var v problem.Violations
	email, ok := normalEmail(req.GetEmail())
	v.Check(ok, "email", "must be an e-mail address of at most 254 characters")
	if err := v.Err(); err != nil {
		return nil, err
	}
	return &accountv1.RequestResetResponse{}, s.requestReset(ctx, email)
}

// ResetPassword implements AccountService.
func (s *Service) ResetPassword(ctx context.Context, req *accountv1.ResetPasswordRequest) (*accountv1.ResetPasswordResponse, error) {
	if err := checkPassword(req.GetPassword(), "password"); err != nil {
		return nil, err
	}
	return &accountv1.ResetPasswordResponse{}, s.resetPassword(ctx, req.GetToken(), req.GetPassword())
}

func checkPassword(password, field string) error {
	var v problem.Violations
	v.Check(validPassword(password), field, "must be 10 to 128 characters")
	return v.Err()
}

// ChangePassword implements AccountService.
func (s *Service) ChangePassword(ctx context.Context, req *accountv1.ChangePasswordRequest) (*accountv1.ChangePasswordResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkPassword(req.GetNewPassword(), "new_password"); err != nil {
		return nil, err
	}
	generation, err := s.changePassword(ctx, p.CustomerID, req.GetOldPassword(), req.GetNewPassword())
	if err != nil {
		return nil, err
	}
	return &accountv1.ChangePasswordResponse{Session: s.answerSession(ctx, p.CustomerID, generation)}, nil
}

// SignOutEverywhere implements AccountService.
func (s *Service) SignOutEverywhere(ctx context.Context, _ *accountv1.SignOutEverywhereRequest) (*accountv1.SignOutEverywhereResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	return &accountv1.SignOutEverywhereResponse{}, s.endSessions(ctx, p.CustomerID)
}

// ExportData implements AccountService.
func (s *Service) ExportData(ctx context.Context, _ *accountv1.ExportDataRequest) (*accountv1.ExportDataResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	return s.exportData(ctx, p.CustomerID)
}

// EraseAccount implements AccountService.
func (s *Service) EraseAccount(ctx context.Context, req *accountv1.EraseAccountRequest) (*accountv1.EraseAccountResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	return &accountv1.EraseAccountResponse{}, s.eraseAccount(ctx, p.CustomerID, req.GetPassword())
}

// ResolveContact implements AccountService.
func (s *Service) ResolveContact(ctx context.Context, req *accountv1.ResolveContactRequest) (*accountv1.ResolveContactResponse, error) {
	id, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	a, found, err := s.get(ctx, id)
	if err != nil || !found || a.ErasedAt != nil {
		return &accountv1.ResolveContactResponse{}, err
	}
	return &accountv1.ResolveContactResponse{Email: a.Email, Name: a.Name}, nil
}
