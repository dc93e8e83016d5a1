package notification

import (
	"context"

	"github.com/cellar-commerce/cellar/internal/fence"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/session"
)

// GetSettings implements NotificationService.
func (s *Service) GetSettings(ctx context.Context, _ *notificationv1.GetSettingsRequest) (*notificationv1.GetSettingsResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	settings, err := s.get(ctx, p.CustomerID)
	return &notificationv1.GetSettingsResponse{Settings: settings}, err
}

// SetSettings implements NotificationService.
func (s *Service) SetSettings(ctx context.Context, req *notificationv1.SetSettingsRequest) (*notificationv1.SetSettingsResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	if err := check(req.GetSettings()); err != nil {
		return nil, err
	}
	return &notificationv1.SetSettingsResponse{}, s.put(ctx, p.CustomerID, req.GetSettings())
}

// EraseSettings implements NotificationService.
func (s *Service) EraseSettings(ctx context.Context, req *notificationv1.EraseSettingsRequest) (*notificationv1.EraseSettingsResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	return &notificationv1.EraseSettingsResponse{}, s.erase(ctx, customer)
}
