package mail_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/mail"
	"github.com/cellar-commerce/cellar/internal/sandbox"
)

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

func catcher(t *testing.T) (*sandbox.Post, *mail.Sender) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	post := sandbox.NewPost(clock.NewManual(opened))
	ended := make(chan error, 1)
	go func() { ended <- post.ServeSMTP(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(post.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return post, sender(t, listener.Addr().String(), "")
}

func sender(t *testing.T, address, password string) *mail.Sender {
	t.Helper()
	s, err := mail.New(mail.Config{Address: address, From: "Cellar <orders@cellar.example>", Username: "shop", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func letter() mail.Message {
	return mail.Message{To: "ada@example.com", Subject: "Grüße & more", Text: "Hello Ada,\n\n.a line with a dot\n" + strings.Repeat("long ", 60), HTML: "<p>Hello Ada</p>", ID: "abc@cellar.example", At: opened}
}

func TestAMessageArrivesAsItWasWritten(t *testing.T) {
	post, s := catcher(t)
	if err := s.Send(t.Context(), letter()); err != nil {
		t.Fatal(err)
	}
	got := post.Letters()
	if len(got) != 1 {
		t.Fatalf("%d letters", len(got))
	}
	l, want := got[0], letter()
	if l.To != want.To || l.Subject != want.Subject || l.MessageID != want.ID || l.From != "orders@cellar.example" ||
		strings.ReplaceAll(strings.TrimSpace(l.Text), "\r\n", "\n") != strings.TrimSpace(want.Text) || strings.TrimSpace(l.HTML) != want.HTML {
		t.Errorf("got %+v", l)
	}
}

func TestHowASendingFailedIsToldApart(t *testing.T) {
	post, s := catcher(t)
	for _, c := range []struct {
		fault            string
		notTaken, forbid bool
		arrives          int
	}{{"refuse", true, true, 0}, {"busy", true, false, 0}, {"lose", false, false, 1}} {
		before := len(post.Letters())
		post.Fault(c.fault)
		err := s.Send(t.Context(), letter())
		if err == nil || errors.Is(err, mail.ErrNotTaken) != c.notTaken || errors.Is(err, mail.ErrRefused) != c.forbid {
			t.Errorf("%s: %v", c.fault, err)
		}
		if n := len(post.Letters()) - before; n != c.arrives {
			t.Errorf("%s: %d arrive", c.fault, n)
		}
	}
	if err := s.Send(t.Context(), letter()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestNobodyThereMeansNotTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	if err := sender(t, address, "").Send(t.Context(), letter()); !errors.Is(err, mail.ErrNotTaken) {
		t.Errorf("got %v", err)
	}
}

func TestAPasswordIsNotSentWithoutTLS(t *testing.T) {
	post, _ := catcher(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = post.ServeSMTP(listener) }()
	if err := sender(t, listener.Addr().String(), "secret").Send(t.Context(), letter()); !errors.Is(err, mail.ErrNotTaken) {
		t.Errorf("got %v", err)
	}
}

func TestARecipientThatWouldBeTwoIsRefused(t *testing.T) {
	_, s := catcher(t)
	m := letter()
	m.To = "ada@example.com\r\nBcc: eve@example.com"
	if err := s.Send(t.Context(), m); !errors.Is(err, mail.ErrRefused) {
		t.Errorf("got %v", err)
	}
}
