package storefront

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// sentences for shoppers, by reason. What is not here is said in the service's own words.
//
//nolint:gosec // G101: these are no credentials, but what is said of wrong ones
var sentences = map[string]string{
	"BAD_CREDENTIALS":      "The e-mail address or the password is not right.",
	"EMAIL_TAKEN":          "There is an account with this e-mail address already. Sign in instead.",
	"TOO_MANY_FAILURES":    "There were too many tries that failed. Try again in some minutes.",
	"TOO_MANY_MAILS":       "A link was asked for several times already. Look into your mailbox, or try again in an hour.",
	"SIGN_IN_AGAIN":        "You signed in a while ago. Sign in once more, then add the passkey within ten minutes.",
	"LINK_NOT_GOOD":        "This link has been used or is too old. Ask for another.",
	"CART_EMPTY":           "Nothing in your cart can be bought right now.",
	"QUANTITY_LIMIT":       "You can have at most 999 of a product in your cart.",
	"CART_FULL":            "Your cart is full: it holds 200 products.",
	"SAVED_FULL":           "You have saved 200 products for later, which is all there is room for.",
	"UNKNOWN_LINE":         "This is no longer there.",
	"QUOTE_EXPIRED":        "These prices have expired. Look them over once more before you order.",
	"QUOTE_ALREADY_USED":   "This has been ordered already. Look at your orders.",
	"PAYMENT_DECLINED":     "Your payment was declined, and nothing was taken. Try another means of payment.",
	"PRODUCT_WITHDRAWN":    "This is no longer sold. What is in your cart of it has to be taken out before you check out.",
	"NO_LONGER_SOLD":       "Something in your cart is no longer sold. Look at your cart.",
	"TOO_LATE_TO_CANCEL":   "It is too late to cancel: everything is packed or on its way. You can return it when it is there.",
	"RETURN_WINDOW_CLOSED": "The 30 days for returning this are over.",
	"RETURNS_TOO_MUCH":     "You cannot return more than you have received.",
	"UNKNOWN_PRODUCT":      "We do not know this product any more.",
	"NOT_RECEIVED":         "You can write a review as soon as the parcel is delivered.",
	"TOO_MUCH_WRITTEN":     "You have written a lot today. Go on tomorrow.",
	"UNKNOWN_QUESTION":     "This question is no longer there.",
	"OWN_CONTRIBUTION":     "You cannot vote on what you wrote yourself.",
	"CELL_BUSY":            "We are very busy right now. Try again in a moment.",
}

// sentence about a problem for a shopper.
func sentence(p *problem.Problem) string {
	if s, known := sentences[p.Reason]; known {
		return s
	}
	if s := shortages(p); s != "" {
		return s
	}
	first, size := utf8.DecodeRuneInString(p.Message)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(p.Message[size:], ".") + "."
}

// shortages and rises name what the shopper can act on.
func shortages(p *problem.Problem) string {
	if d, ok := problem.Detail[*problemv1.OutOfStock](p); ok && len(d.GetShortages()) > 0 {
		return "Some of this was sold while you were shopping. Your cart shows what can still be had; nothing was taken."
	}
	if d, ok := problem.Detail[*problemv1.PriceChanged](p); ok && len(d.GetChanges()) > 0 {
		return "A price has risen since you looked. Nothing was ordered; look it over with the new price."
	}
	return ""
}

// wrongs of a refusal: its fields, or itself. fields gives the id of a form's field by the name that the service uses;
// what it does not know is said of the whole form.
func wrongs(err error, fields map[string]string) []wrong {
	p := problem.As(err)
	if p == nil || p.Kind == problem.Internal {
		return nil
	}
	var all []wrong
	if short := shortOf(err); len(short) > 0 {
		return short
	}
	if d, ok := problem.Detail[*problemv1.FieldViolations](err); ok {
		for _, v := range d.GetViolations() {
			id := fields[v.GetField()]
			text := v.GetDescription()
			if id != "" {
				text = labels[id] + " " + text
			}
			all = append(all, wrong{Field: id, Text: strings.TrimSuffix(text, ".") + "."})
		}
	}
	if len(all) == 0 {
		all = append(all, wrong{Text: sentence(p)})
	}
	return all
}

// shortOf what there is too little of, beside the quantities of the cart; none of any other refusal.
func shortOf(err error) (all []wrong) {
	d, _ := problem.Detail[*problemv1.OutOfStock](err)
	for _, s := range d.GetShortages() {
		text := "This is sold out. Take it out, or save it for later."
		if s.GetAvailable() > 0 {
			text = fmt.Sprintf("Only %d can be had now, and you want %d.", s.GetAvailable(), s.GetRequested())
		}
		all = append(all, wrong{Field: "quantity-" + s.GetSku(), Text: text})
	}
	return all
}

// refusedForm tells whether a form can be shown again with what is wrong; anything else is an error page's.
func refusedForm(err error) bool {
	switch problem.KindOf(err) {
	case problem.Invalid, problem.Precondition, problem.AlreadyExists, problem.Exhausted, problem.Aborted:
		return true
	case problem.Unauthenticated:
		return problem.Is(err, "BAD_CREDENTIALS") || problem.Is(err, "BAD_PASSKEY") || problem.Is(err, "PASSKEY_COPIED")
	default:
		return false
	}
}
