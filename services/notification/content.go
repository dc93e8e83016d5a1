package notification

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/notice"
)

// content of a message. Lines are paragraphs.
type content struct {
	Name, Subject string
	Lines         []string
	// Link to follow, with what it is called.
	Link, LinkName string
}

// content of a notice. A kind that is not known here is an error: another release has written it, and its cells know.
func (s *Service) content(t notice.Try) (content, error) {
	d := t.Detail
	order := "Your order " + d.GetOrderId()
	c := content{Link: s.deps.ShopURL + "/orders/" + url.PathEscape(d.GetOrderId()), LinkName: "Look at your order"}
	link := func(path string) string {
		return s.deps.ShopURL + path + "?t=" + url.QueryEscape(s.deps.Link(t.Customer, d.GetTokenId(), d.GetKind()))
	}
	switch d.GetKind() {
	case notificationv1.Kind_KIND_ORDER_PLACED:
		c.Subject, c.Lines = order+" is placed", []string{"Thank you. " + order + " is placed and paid. We write again when it is on its way."}
	case notificationv1.Kind_KIND_ORDER_SHIPPED:
		c.Subject, c.Lines = order+" is on its way", []string{"A parcel of your order " + d.GetOrderId() + " has left."}
		if d.GetTrackingNumber() != "" {
			c.Lines = append(c.Lines, fmt.Sprintf("%s brings it under the number %s.", or(d.GetCarrier(), "The carrier"), d.GetTrackingNumber()))
		}
	case notificationv1.Kind_KIND_ORDER_DELIVERED:
		c.Subject, c.Lines = order+" is delivered", []string{"A parcel of your order " + d.GetOrderId() + " has been delivered."}
	case notificationv1.Kind_KIND_DELIVERY_EXCEPTION:
		c.Subject, c.Lines = order+" is delayed", []string{"The carrier could not deliver a parcel of your order " + d.GetOrderId() + " as planned. Your order's page says what comes next."}
		if d.GetPlace() != "" {
			c.Lines = append(c.Lines, "It was seen last in "+d.GetPlace()+".")
		}
	case notificationv1.Kind_KIND_ORDER_REFUNDED:
		c.Subject, c.Lines = "Money back for your order "+d.GetOrderId(), []string{"We have given back " + money.FromProto(d.GetAmount()).String() + " for your order " + d.GetOrderId() + ", the way you paid. Banks may take some days."}
	case notificationv1.Kind_KIND_EMAIL_VERIFICATION:
		c.Subject, c.Lines = "Is this your e-mail address?", []string{"Somebody has made an account with this address. If it was you, say so by this link within two days. If not, nothing needs to be done."}
		c.Link, c.LinkName = link("/verify"), "It is my address"
	case notificationv1.Kind_KIND_PASSWORD_RESET:
		c.Subject, c.Lines = "A new password", []string{"Somebody has asked for a new password for your account. The link works once, within half an hour. If it was not you, nothing needs to be done: your password stays as it is."}
		c.Link, c.LinkName = link("/reset/new"), "Set a new password"
	case notificationv1.Kind_KIND_PASSWORD_CHANGED:
		c.Subject, c.Lines = "Your password was changed", []string{"The password of your account was changed, and every other session was ended. If it was not you, ask for a new password at once."}
		c.Link, c.LinkName = s.deps.ShopURL+"/reset", "Ask for a new password"
	case notificationv1.Kind_KIND_PASSKEY_ADDED:
		c.Subject, c.Lines = "A passkey was added", []string{"A passkey was added to your account. Whoever has the device it is on can sign in with it. If it was not you, remove it at once, and change your password."}
		c.Link, c.LinkName = s.deps.ShopURL+"/account", "Look at your passkeys"
	case notificationv1.Kind_KIND_PASSKEY_REMOVED:
		c.Subject, c.Lines = "A passkey was removed", []string{"A passkey was removed from your account. Nobody can sign in with it any more. If it was not you, look at those that are left, and change your password."}
		c.Link, c.LinkName = s.deps.ShopURL+"/account", "Look at your passkeys"
	case notificationv1.Kind_KIND_ACCOUNT_ERASED:
		c.Subject, c.Lines = "Your account is erased", []string{"Your account is erased, as you asked. Your orders are kept without your name and street, as the books must be. This is the last message about it."}
		c.Link, c.LinkName = s.deps.ShopURL+"/", "The shop"
	default:
		return content{}, fmt.Errorf("nothing is known to say of %s", d.GetKind())
	}
	return c, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// short is an SMS: two parts at most.
func (c content) short() string { return "Cellar: " + c.Subject + ". " + c.Link }

var page = template.Must(template.New("letter").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Subject}}</title></head>
<body style="font:16px/1.5 sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem">
<h1 style="font-size:1.25rem">{{.Subject}}</h1>
{{with .Name}}<p>Hello {{.}},</p>
{{end}}{{range .Lines}}<p>{{.}}</p>
{{end}}<p><a href="{{.Link}}">{{.LinkName}}</a></p>
<p style="color:#555">Cellar</p>
</body></html>
`))

// draw both forms of a letter.
func (c content) draw() (text, html string, err error) {
	var plain, b strings.Builder
	if c.Name != "" {
		fmt.Fprintf(&plain, "Hello %s,\n\n", c.Name)
	}
	for _, line := range c.Lines {
		fmt.Fprintf(&plain, "%s\n\n", line)
	}
	fmt.Fprintf(&plain, "%s: %s\n\nCellar\n", c.LinkName, c.Link)
	err = page.Execute(&b, c)
	return plain.String(), b.String(), err
}
