package account

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/fence"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/postal"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
)

// SignUp implements AccountService.
func (s *Service) SignUp(ctx context.Context, req *accountv1.SignUpRequest) (*accountv1.SignUpResponse, error) {
	var v problem.Violations
	email, ok := normalEmail(req.GetEmail())
	v.Check(ok, "email", "must be an e-mail address of at most 254 characters")
	v.Check(validPassword(req.GetPassword()), "password", "must be 10 to 128 characters")
	v.Check(validName(req.GetName()), "name", "must be 1 to 120 characters")
	if err := v.Err(); err != nil {
		return nil, err
	}
	if err := refuseCardNumbers(req.GetName(), req.GetEmail()); err != nil {
		return nil, err
	}
	id, err := s.signUp(ctx, email, req.GetPassword(), req.GetName())
	if err != nil {
		return nil, err
	}
	s.mergeCart(ctx, id)
	return &accountv1.SignUpResponse{Session: s.answerSession(ctx, id, 0)}, nil
}

// SignIn implements AccountService.
func (s *Service) SignIn(ctx context.Context, req *accountv1.SignInRequest) (*accountv1.SignInResponse, error) {
	var v problem.Violations
	email, ok := normalEmail(req.GetEmail())
	v.Check(ok, "email", "must be an e-mail address of at most 254 characters")
	v.Check(req.GetPassword() != "" && len(req.GetPassword()) <= 4*maxPassword, "password", "must be 1 to 128 characters")
	if err := v.Err(); err != nil {
		return nil, err
	}
	a, err := s.signIn(ctx, email, req.GetPassword())
	if err != nil {
		return nil, err
	}
	return &accountv1.SignInResponse{Merged: s.mergeCart(ctx, a.CustomerID), Session: s.answerSession(ctx, a.CustomerID, a.Generation)}, nil
}

// answerSession gives the new session in the answer, and to browsers as a cookie.
func (s *Service) answerSession(ctx context.Context, id ident.CustomerID, generation int64) *accountv1.Session {
	out := s.newSession(id, generation)
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
		info.ResponseHeader().Add("Set-Cookie", rpc.Cookie(out.GetToken(), out.GetExpiresAt().AsTime(), s.deps.SecureCookies).String())
	}
	return out
}

// GetProfile implements AccountService.
func (s *Service) GetProfile(ctx context.Context, _ *accountv1.GetProfileRequest) (*accountv1.GetProfileResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	a, found, err := s.get(ctx, p.CustomerID)
	if err != nil {
		return nil, err
	}
	if !found || a.ErasedAt != nil {
		return nil, unknownAccount()
	}
	return &accountv1.GetProfileResponse{
		CustomerId: string(a.CustomerID), Email: a.Email, Name: a.Name, Ring: string(a.CustomerID.Region()), CreatedAt: timestamppb.New(a.CreatedAt),
		EmailVerified: a.VerifiedAt != nil,
	}, nil
}

// AddAddress implements AccountService.
func (s *Service) AddAddress(ctx context.Context, req *accountv1.AddAddressRequest) (*accountv1.AddAddressResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	postal.Validate(&v, "address", req.GetAddress())
	if err := v.Err(); err != nil {
		return nil, err
	}
	typed := req.GetAddress()
	if err := refuseCardNumbers(append([]string{typed.GetRecipient(), typed.GetLocality(), typed.GetAdministrativeArea(), typed.GetPostalCode()}, typed.GetLines()...)...); err != nil {
		return nil, err
	}
	a := &accountv1.Address{AddressId: ident.NewToken(), Address: req.GetAddress()}
	if err := s.insertAddress(ctx, p.CustomerID, a); err != nil {
		return nil, err
	}
	return &accountv1.AddAddressResponse{Address: a}, nil
}

// ListAddresses implements AccountService.
func (s *Service) ListAddresses(ctx context.Context, _ *accountv1.ListAddressesRequest) (*accountv1.ListAddressesResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.listAddresses(ctx, p.CustomerID)
	return &accountv1.ListAddressesResponse{Addresses: all}, err
}

// DeleteAddress implements AccountService.
func (s *Service) DeleteAddress(ctx context.Context, req *accountv1.DeleteAddressRequest) (*accountv1.DeleteAddressResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	return &accountv1.DeleteAddressResponse{}, s.changeOne(ctx, p.CustomerID, stmtDeleteAddress, req.GetAddressId(), unknownAddress)
}

// AddPaymentMethod implements AccountService.
func (s *Service) AddPaymentMethod(ctx context.Context, req *accountv1.AddPaymentMethodRequest) (*accountv1.AddPaymentMethodResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	if err := refuseCardNumbers(req.GetCardToken(), req.GetLabel()); err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(validCardToken(req.GetCardToken()), "card_token", "must be a token of the card network")
	v.Check(validLabel(req.GetLabel()), "label", "must be 1 to 60 characters with no more than 4 digits in a row")
	if err := v.Err(); err != nil {
		return nil, err
	}
	m := &accountv1.PaymentMethod{PaymentMethodId: ident.NewToken(), Label: req.GetLabel()}
	if err := s.insertMethod(ctx, p.CustomerID, m, req.GetCardToken()); err != nil {
		return nil, err
	}
	return &accountv1.AddPaymentMethodResponse{PaymentMethod: m}, nil
}

// ListPaymentMethods implements AccountService.
func (s *Service) ListPaymentMethods(ctx context.Context, _ *accountv1.ListPaymentMethodsRequest) (*accountv1.ListPaymentMethodsResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.listMethods(ctx, p.CustomerID)
	return &accountv1.ListPaymentMethodsResponse{PaymentMethods: all}, err
}

// DeletePaymentMethod implements AccountService.
func (s *Service) DeletePaymentMethod(ctx context.Context, req *accountv1.DeletePaymentMethodRequest) (*accountv1.DeletePaymentMethodResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	return &accountv1.DeletePaymentMethodResponse{}, s.changeOne(ctx, p.CustomerID, stmtDeleteMethod, req.GetPaymentMethodId(), unknownMethod)
}

// ResolvePaymentMethod implements AccountService.
func (s *Service) ResolvePaymentMethod(ctx context.Context, req *accountv1.ResolvePaymentMethodRequest) (*accountv1.ResolvePaymentMethodResponse, error) {
	id, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	token, err := s.cardToken(ctx, id, req.GetPaymentMethodId())
	if err != nil {
		return nil, err
	}
	return &accountv1.ResolvePaymentMethodResponse{CardToken: token}, nil
}

// ResolveAddress implements AccountService.
func (s *Service) ResolveAddress(ctx context.Context, req *accountv1.ResolveAddressRequest) (*accountv1.ResolveAddressResponse, error) {
	id, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	a, err := s.getAddress(ctx, id, req.GetAddressId())
	if err != nil {
		return nil, err
	}
	return &accountv1.ResolveAddressResponse{Address: a.GetAddress()}, nil
}
