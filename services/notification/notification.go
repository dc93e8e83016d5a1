package notification

import (
	"regexp"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	email   = notificationv1.Channel_CHANNEL_EMAIL
	sms     = notificationv1.Channel_CHANNEL_SMS
	webhook = notificationv1.Channel_CHANNEL_WEBHOOK
)

// maxChoices of a customer: more than there are kinds and channels is a mistake.
const maxChoices = 64

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
		if !c.GetWanted() && notice.Always(c.GetKind(), c.GetChannel()) {
			return problem.New(problem.Invalid, "ALWAYS_TOLD", "this is always told by e-mail")
		}
	}
	return v.Err()
}
