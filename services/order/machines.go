package order

import (
	"fmt"
	"slices"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

// Status of an order, as stored.
type Status string

// The statuses.
const (
	Pending  Status = "PENDING"
	Paid     Status = "PAID"
	Shipped  Status = "SHIPPED"
	Failed   Status = "FAILED"
	Canceled Status = "CANCELED"
)

var statusProto = map[Status]orderv1.Status{
	Pending:  orderv1.Status_STATUS_PENDING,
	Paid:     orderv1.Status_STATUS_PAID,
	Shipped:  orderv1.Status_STATUS_SHIPPED,
	Failed:   orderv1.Status_STATUS_FAILED,
	Canceled: orderv1.Status_STATUS_CANCELED,
}

// statusMoves of the order's machine. Empty is an order without events.
var statusMoves = moves[Status]{
	"":      {Pending},
	Pending: {Paid, Failed},
	Paid:    {Shipped, Canceled},
}

// Short names of the wire's, which is where the other two machines are kept: nothing of them is stored.
type (
	payment = orderv1.PaymentStatus
	parcel  = orderv1.ParcelState
)

const (
	unpaid         = orderv1.PaymentStatus_PAYMENT_STATUS_UNSPECIFIED
	authorized     = orderv1.PaymentStatus_PAYMENT_STATUS_AUTHORIZED
	partlyCaptured = orderv1.PaymentStatus_PAYMENT_STATUS_PARTLY_CAPTURED
	captured       = orderv1.PaymentStatus_PAYMENT_STATUS_CAPTURED
	partlyRefunded = orderv1.PaymentStatus_PAYMENT_STATUS_PARTLY_REFUNDED
	refunded       = orderv1.PaymentStatus_PAYMENT_STATUS_REFUNDED
	voided         = orderv1.PaymentStatus_PAYMENT_STATUS_VOIDED
)

// paymentMoves of the money's machine. An order that costs nothing is captured with nothing taken.
var paymentMoves = moves[payment]{
	unpaid:         {authorized, captured},
	authorized:     {partlyCaptured, captured, voided},
	partlyCaptured: {captured, partlyRefunded, refunded},
	captured:       {partlyRefunded, refunded},
	partlyRefunded: {refunded},
}

const (
	noParcel       = orderv1.ParcelState_PARCEL_STATE_UNSPECIFIED
	requested      = orderv1.ParcelState_PARCEL_STATE_REQUESTED
	packed         = orderv1.ParcelState_PARCEL_STATE_PACKED
	shipped        = orderv1.ParcelState_PARCEL_STATE_SHIPPED
	canceled       = orderv1.ParcelState_PARCEL_STATE_CANCELED
	partlyReturned = orderv1.ParcelState_PARCEL_STATE_PARTLY_RETURNED
	returned       = orderv1.ParcelState_PARCEL_STATE_RETURNED
)

// parcelMoves of a parcel's machine. The order need not hear that a parcel is packed before it hears that it has left.
var parcelMoves = moves[parcel]{
	noParcel:       {requested},
	requested:      {packed, shipped, canceled},
	packed:         {shipped},
	shipped:        {partlyReturned, returned},
	partlyReturned: {returned},
}

// moves of a machine: from each state, those that may follow.
type moves[S comparable] map[S][]S

// step from one state to another, or to itself. Anything that the table has not is an event in the wrong place: the log
// of the order is broken, and nothing may be built on it.
func (m moves[S]) step(at *S, to S) error {
	if *at == to {
		return nil
	}
	if !slices.Contains(m[*at], to) {
		return fmt.Errorf("%v cannot become %v", *at, to)
	}
	*at = to
	return nil
}

// hasLeft tells whether a parcel has left, wherever it is now.
func hasLeft(s parcel) bool { return s == shipped || s == partlyReturned || s == returned }

// isOpen tells whether a parcel is still to be sent, as far as the order knows.
func isOpen(s parcel) bool { return s == requested || s == packed }
