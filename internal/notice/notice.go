package notice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Channels by which customers are told, in the order in which they are tried.
func Channels() []notificationv1.Channel {
	return []notificationv1.Channel{notificationv1.Channel_CHANNEL_EMAIL, notificationv1.Channel_CHANNEL_SMS, notificationv1.Channel_CHANNEL_WEBHOOK}
}

// bit of a channel in the columns pending, begun and repeated.
func bit(c notificationv1.Channel) int16 { return 1 << (c - 1) }

// every channel's bit.
func every() (bits int16) {
	for _, c := range Channels() {
		bits |= bit(c)
	}
	return bits
}

// Notice for a customer.
type Notice struct {
	Customer ident.CustomerID
	// Cause makes it one: the same again changes nothing.
	Cause  string
	Detail *notificationv1.Notice
}

// Packed notice: all that can fail about it has been done.
type Packed struct {
	customer, cause, kind string
	detail                []byte
}

// Pack notices. Those for guests are left out: nobody knows where to reach them.
func Pack(notices []Notice) ([]Packed, error) {
	var packed []Packed
	for _, n := range notices {
		if n.Customer.Guest() {
			continue
		}
		detail, err := proto.Marshal(n.Detail)
		if err != nil {
			return nil, fmt.Errorf("notice %s: %w", n.Cause, err)
		}
		packed = append(packed, Packed{string(n.Customer), n.Cause, n.Detail.GetKind().String(), detail})
	}
	return packed, nil
}

// QueuePacked adds to a batch what writes notices of one ring, in the transaction of what they are about.
func QueuePacked(b *sqldb.Batch, ring ident.Region, now time.Time, notices []Packed) {
	if len(notices) == 0 {
		return
	}
	n := len(notices)
	customers, causes, kinds, details := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i, p := range notices {
		customers[i], causes[i], kinds[i], details[i] = p.customer, p.cause, p.kind, p.detail
	}
	b.Queue(stmtInsert, nil, string(ring), customers, causes, kinds, details, every(), now)
}

// Queue is Pack and QueuePacked.
func Queue(b *sqldb.Batch, ring ident.Region, now time.Time, notices ...Notice) error {
	packed, err := Pack(notices)
	if err != nil {
		return err
	}
	QueuePacked(b, ring, now, packed)
	return nil
}

// Write is Queue for a transaction in which nothing else is left to do.
func Write(ctx context.Context, tx sqldb.Tx, ring ident.Region, now time.Time, notices ...Notice) error {
	var b sqldb.Batch
	if err := Queue(&b, ring, now, notices...); err != nil {
		return err
	}
	return tx.Send(ctx, &b)
}

// keyOf a notice by a channel: the same for every try, and of nobody else. It says nothing about the customer.
func keyOf(customer ident.CustomerID, cause string, c notificationv1.Channel) string {
	sum := sha256.Sum256([]byte(string(customer) + "\n" + cause + "\n" + c.String()))
	return hex.EncodeToString(sum[:16])
}
