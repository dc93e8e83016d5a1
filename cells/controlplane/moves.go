package controlplane

import (
	"context"
	"errors"

	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
)

type unmoved = topologyv1connect.UnimplementedTopologyServiceHandler

func (s *Service) evacuate(context.Context, string, Cause) (string, error) { return "", errors.New("not yet") }
func (s *Service) moving(context.Context) (bool, error)                    { return false, nil }
func (s *Service) drive(ctx context.Context)                               { <-ctx.Done() }
