package notification

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtGet = sqldb.Define(sqldb.Customer, "notification.get_settings", `
SELECT settings
FROM notification_settings
WHERE region = $1 AND customer_id = $2`)

	stmtPut = sqldb.Define(sqldb.Customer, "notification.put_settings", `
INSERT INTO notification_settings (region, customer_id, settings, changed_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (region, customer_id) DO UPDATE
SET settings = excluded.settings, changed_at = excluded.changed_at`)

	stmtErase = sqldb.Define(sqldb.Customer, "notification.erase_settings", `
DELETE FROM notification_settings
WHERE region = $1 AND customer_id = $2`)
)

// get the settings of a customer, who may have none.
func (s *Service) get(ctx context.Context, id ident.CustomerID) (*notificationv1.Settings, error) {
	var b []byte
	settings := &notificationv1.Settings{}
	err := s.deps.DB.QueryRow(ctx, stmtGet, string(id.Region()), string(id)).Scan(&b)
	if errors.Is(err, sqldb.ErrNoRows) {
		return settings, nil
	}
	if err != nil {
		return nil, err
	}
	return settings, proto.Unmarshal(b, settings)
}

func (s *Service) put(ctx context.Context, id ident.CustomerID, settings *notificationv1.Settings) error {
	b, err := proto.Marshal(settings)
	if err != nil {
		return err
	}
	now := s.deps.Clock.Now()
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtPut, string(id.Region()), string(id), b, now)
		return err
	})
}

func (s *Service) erase(ctx context.Context, id ident.CustomerID) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtErase, string(id.Region()), string(id))
		return err
	})
}
