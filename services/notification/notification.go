package notification

import (
	"regexp"
	"slices"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	email   = notificationv1.Channel_CHANNEL_EMAIL
	sms     = notificationv1.Channel_CHANNEL_SMS
	webhook = notificationv1.Channel_CHANNEL_WEBHOOK
)

// maxChoices of a customer: more than there are kinds and channels is a mistake.
const maxChoices = 64

// optional kinds, in the order in which a customer is asked.
var optional = []notificationv1.Kind{
	notificationv1.Kind_KIND_ORDER_PLACED, notificationv1.Kind_KIND_ORDER_SHIPPED, notificationv1.Kind_KIND_ORDER_DELIVERED,
	notificationv1.Kind_KIND_DELIVERY_EXCEPTION, notificationv1.Kind_KIND_ORDER_REFUNDED,
}

// always tells what a customer is told whatever the settings are. What is about the account goes by e-mail and no other way.
func always(k notificationv1.Kind, c notificationv1.Channel) bool {
	return c == email && (k == notificationv1.Kind_KIND_ORDER_PLACED || !slices.Contains(optional, k))
}

// wanted tells whether a customer wants a kind by a channel.
func wanted(s *notificationv1.Settings, k notificationv1.Kind, c notificationv1.Channel) bool {
	if always(k, c) {
		return true
	}
	if !slices.Contains(optional, k) || (c == sms && s.GetPhone() == "") {
		return false
	}
	for _, choice := range s.GetChoices() {
		if choice.GetKind() == k && choice.GetChannel() == c {
			return choice.GetWanted()
		}
	}
	return c == email
}

// phone is E.164: at most 15 digits behind a plus.
var phone = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// check settings that a customer sends.
func check(s *notificationv1.Settings) error {
	var v problem.Violations
	v.Check(s.GetPhone() == "" || phone.MatchString(s.GetPhone()), "phone", "must be a number with the country's code, such as +15550100")
	v.Check(len(s.GetChoices()) <= maxChoices, "choices", "must be at most 64")
	for _, c := range s.GetChoices() {
		_, kind := notificationv1.Kind_name[int32(c.GetKind())]
		_, channel := notificationv1.Channel_name[int32(c.GetChannel())]
		v.Check(kind && channel && c.GetKind() != 0 && c.GetChannel() != 0, "choices", "must name a kind and a channel that there are")
		if !c.GetWanted() && always(c.GetKind(), c.GetChannel()) {
			return problem.New(problem.Invalid, "ALWAYS_TOLD", "this is always told by e-mail")
		}
	}
	return v.Err()
}
