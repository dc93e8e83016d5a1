package notification

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/mail"
	"github.com/cellar-commerce/cellar/internal/notice"
)

const (
	// httpTimeout of a provider: it takes a message, and need not have passed it on.
	httpTimeout = 10 * time.Second
	// SignatureHeader of a webhook: "t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">".
	SignatureHeader = "Cellar-Signature"
	// maxAnswer of a provider in bytes: only its status counts, and the connection is used again once the rest is read.
	maxAnswer = 64 << 10
)

var _ notice.Courier = (*Service)(nil)

// DropsTwins implements notice.Courier: SMTP has nothing by which a server would.
func (s *Service) DropsTwins(c notificationv1.Channel) bool { return c != email }

// Deliver implements notice.Courier.
func (s *Service) Deliver(ctx context.Context, t notice.Try) (notice.Outcome, error) {
	settings, err := s.get(ctx, t.Customer)
	if err != nil {
		return notice.Failed, err
	}
	if !notice.Wanted(settings, t.Detail.GetKind(), t.Channel) {
		return notice.Unwanted, nil
	}
	switch {
	case t.Channel == email && s.deps.Mailer != nil:
		return s.email(ctx, t)
	case t.Channel == sms && s.deps.SMSURL != "":
		c, err := s.content(t)
		if err != nil {
			return notice.Failed, err
		}
		return s.post(ctx, strings.TrimSuffix(s.deps.SMSURL, "/")+"/sms/v1/messages", t.Key, map[string]any{"to": settings.GetPhone(), "text": c.short()}, "")
	case t.Channel == webhook && s.deps.WebhookURL != "":
		return s.post(ctx, s.deps.WebhookURL, t.Key, map[string]any{
			"id": t.Key, "kind": strings.ToLower(strings.TrimPrefix(t.Detail.GetKind().String(), "KIND_")), "customer_id": t.Customer, "order_id": t.Detail.GetOrderId(), "at": t.At.UTC(),
		}, s.deps.WebhookKey)
	}
	return notice.Unwanted, nil
}

// email to where the account is reached, or where the notice says.
func (s *Service) email(ctx context.Context, t notice.Try) (notice.Outcome, error) {
	contact := &accountv1.ResolveContactResponse{Email: t.Detail.GetTo()}
	if contact.GetEmail() == "" {
		var err error
		if contact, err = s.deps.Accounts.ResolveContact(ctx, &accountv1.ResolveContactRequest{CustomerId: string(t.Customer)}); err != nil {
			return notice.Failed, err
		}
	}
	if contact.GetEmail() == "" {
		return notice.Unwanted, nil // nobody has this account, or nobody any more
	}
	c, err := s.content(t)
	if err != nil {
		return notice.Failed, err
	}
	c.Name = contact.GetName()
	text, page, err := c.draw()
	if err != nil {
		return notice.Refused, err
	}
	err = s.deps.Mailer.Send(ctx, mail.Message{To: contact.GetEmail(), Subject: c.Subject, Text: text, HTML: page, ID: t.Key + "@cellar.notifications", At: t.At})
	switch {
	case err == nil:
		return notice.Told, nil
	case errors.Is(err, mail.ErrRefused):
		return notice.Refused, err
	case errors.Is(err, mail.ErrNotTaken):
		return notice.Failed, err
	}
	return notice.Unknown, err
}

// post JSON to who drops what has a key that is known there. It is signed if there is a key for that.
func (s *Service) post(ctx context.Context, url, key string, body any, signKey string) (notice.Outcome, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return notice.Refused, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return notice.Refused, errors.New("the address is malformed")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	if signKey != "" {
		r.Header.Set(SignatureHeader, sign(signKey, s.deps.Clock.Now(), b))
	}
	resp, err := s.deps.Client.Do(r)
	if err != nil {
		return notice.Unknown, errors.New("no answer") // the error has the address, which may be a secret
	}
	defer func() { _ = resp.Body.Close() }() // all that counts has been read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode < 300:
		return notice.Told, nil
	case resp.StatusCode == http.StatusConflict || resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode == http.StatusTooEarly || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return notice.Failed, fmt.Errorf("answered %d", resp.StatusCode)
	}
	return notice.Refused, fmt.Errorf("answered %d", resp.StatusCode)
}

// sign a body at a time.
func sign(key string, now time.Time, body []byte) string {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
