package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Errors of Send. Any other leaves open whether the message was taken.
var (
	// ErrNotTaken: the server has not taken the message; it may later.
	ErrNotTaken = errors.New("mail: not taken")
	// ErrRefused: the server will never take it; it wraps ErrNotTaken.
	ErrRefused = fmt.Errorf("%w: refused", ErrNotTaken)
)

// timeout of each command: a server that scans mail takes seconds.
const timeout = 10 * time.Second

// Config of a Sender.
type Config struct {
	// Address of the SMTP server, host:port.
	Address string
	// From is the sender: an address, perhaps with a name before it.
	From string
	// Username and Password, where the server wants them. They are only sent over TLS.
	Username, Password string
	// RequireTLS refuses a server that does not offer it; otherwise it is used where it is offered.
	RequireTLS bool
}

// Message to one person.
type Message struct {
	To      string
	Subject string
	Text    string
	HTML    string
	// ID of the message, without angle brackets: local part, @, domain.
	ID string
	// At is its date.
	At time.Time
}

// Sender of messages.
type Sender struct {
	config Config
	host   string
	port   int
}

// New sender. Nothing is connected yet.
func New(config Config) (*Sender, error) {
	host, port, err := net.SplitHostPort(config.Address)
	if err != nil {
		return nil, fmt.Errorf("mail: the server's address: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("mail: %q is no port", port)
	}
	if err := gomail.NewMsg().From(config.From); err != nil {
		return nil, fmt.Errorf("mail: the sender: %w", err)
	}
	return &Sender{config: config, host: host, port: n}, nil
}

func (s *Sender) client() (*gomail.Client, error) {
	policy := gomail.TLSOpportunistic
	if s.config.RequireTLS || s.config.Password != "" {
		policy = gomail.TLSMandatory
	}
	options := []gomail.Option{gomail.WithPort(s.port), gomail.WithTimeout(timeout), gomail.WithTLSPolicy(policy), gomail.WithoutNoop(), gomail.WithoutRset()}
	if s.config.Password != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername(s.config.Username), gomail.WithPassword(s.config.Password))
	}
	return gomail.NewClient(s.host, options...)
}

// Send a message; nil once the server has taken it. The error never has the message or the address in it.
func (s *Sender) Send(ctx context.Context, m Message) error {
	msg, err := s.pack(m)
	if err != nil {
		return err
	}
	client, err := s.client()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	if err := client.DialWithContext(ctx); err != nil {
		return fmt.Errorf("%w: no conversation with the server: %w", ErrNotTaken, err)
	}
	defer func() { _ = client.Close() }() // the message has been taken or not
	return judge(client.Send(msg))
}

func (s *Sender) pack(m Message) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	if err := msg.From(s.config.From); err != nil {
		return nil, fmt.Errorf("%w: the sender is no address", ErrRefused)
	}
	if err := msg.To(m.To); err != nil {
		return nil, fmt.Errorf("%w: the recipient is no address", ErrRefused)
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDateWithValue(m.At)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, nil
}

// judge how a conversation ended.
func judge(err error) error {
	if err == nil {
		return nil
	}
	var failed *gomail.SendError
	if !errors.As(err, &failed) {
		return errors.New("mail: the conversation broke off")
	}
	code := failed.ErrorCode()
	switch {
	case failed.Reason == gomail.ErrSMTPReset:
		return nil // after the message had been taken
	case code >= 500:
		return fmt.Errorf("%w with code %d", ErrRefused, code)
	case code >= 400:
		return fmt.Errorf("%w: code %d", ErrNotTaken, code)
	case failed.Reason == gomail.ErrSMTPDataClose || failed.Reason == gomail.ErrAmbiguous:
		return errors.New("mail: the server did not say whether it has taken the message")
	default: // before the end of the message: an SMTP server takes nothing then
		return fmt.Errorf("%w: the conversation broke off before the message had been sent", ErrNotTaken)
	}
}
