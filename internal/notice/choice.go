package notice

import (
	"slices"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
)

const (
	email = notificationv1.Channel_CHANNEL_EMAIL
	sms   = notificationv1.Channel_CHANNEL_SMS
)

// Optional kinds, in the order in which they happen to an order. The others are about the account, and go by e-mail and no other
// way.
func Optional() []notificationv1.Kind {
	return []notificationv1.Kind{
		notificationv1.Kind_KIND_ORDER_PLACED, notificationv1.Kind_KIND_ORDER_SHIPPED, notificationv1.Kind_KIND_ORDER_DELIVERED,
		notificationv1.Kind_KIND_DELIVERY_EXCEPTION, notificationv1.Kind_KIND_ORDER_REFUNDED,
	}
}

// Always tells what a customer is told whatever the settings are.
func Always(k notificationv1.Kind, c notificationv1.Channel) bool {
	return c == email && (k == notificationv1.Kind_KIND_ORDER_PLACED || !slices.Contains(Optional(), k))
}

// Chosen tells what a customer has chosen for an optional kind and a channel, or what is so by default: by e-mail everything is
// told, by the others nothing.
func Chosen(s *notificationv1.Settings, k notificationv1.Kind, c notificationv1.Channel) bool {
	for _, choice := range s.GetChoices() {
		if choice.GetKind() == k && choice.GetChannel() == c {
			return choice.GetWanted()
		}
	}
	return c == email
}

// Wanted tells whether a customer is told of a kind by a channel.
func Wanted(s *notificationv1.Settings, k notificationv1.Kind, c notificationv1.Channel) bool {
	if Always(k, c) {
		return true
	}
	return slices.Contains(Optional(), k) && (c != sms || s.GetPhone() != "") && Chosen(s, k, c)
}
