package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/cellar-commerce/cellar/internal/clock"
)

const (
	// maxLetters are kept; older ones go. A page of all of them is some megabytes.
	maxLetters = 1000
	// maxLetter in bytes: what the shop sends has some thousands.
	maxLetter = 256 << 10
	// maxRecipients of one message.
	maxRecipients = 10
	// maxText of an SMS in bytes, ten parts' worth.
	maxText = 1600
	// smtpTimeout of one command.
	smtpTimeout = 10 * time.Second
	// channelSMS of a letter; of an e-mail it is "email".
	channelSMS = "sms"
)

// Letter is an e-mail or an SMS that was taken.
type Letter struct {
	Channel   string    `json:"channel"` // email or sms
	MessageID string    `json:"message_id"`
	From      string    `json:"from,omitempty"`
	To        string    `json:"to"`
	Subject   string    `json:"subject,omitempty"`
	Text      string    `json:"text"`
	HTML      string    `json:"html,omitempty"`
	At        time.Time `json:"at"`
}

// Post catches the mail and the SMS of a shop, for people and tests to read. It is in memory only.
type Post struct {
	clock  clock.Clock
	server *smtp.Server
	routes http.Handler

	mu      sync.Mutex
	letters []Letter
	faults  []string // what the next messages are answered
	doors   []net.Listener
	closed  bool
}

// NewPost catches from now on; nothing listens yet.
func NewPost(c clock.Clock) *Post {
	p := &Post{clock: c}
	p.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &delivery{post: p, conn: c.Conn()}, nil }))
	p.server.Domain, p.server.MaxMessageBytes, p.server.MaxRecipients = "sandbox.local", maxLetter, maxRecipients
	p.server.ReadTimeout, p.server.WriteTimeout = smtpTimeout, smtpTimeout
	p.server.ErrorLog = quiet{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sms/v1/messages", p.takeSMS)
	mux.HandleFunc("GET /mail/{$}", p.page)
	mux.HandleFunc("GET /mail/messages", p.list)
	mux.HandleFunc("POST /mail/faults", p.setFaults)
	p.routes = mux
	return p
}

// quiet: clients that break off are what tests do.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// ServeHTTP implements http.Handler: /mail/ to read, /sms/v1/messages to send.
func (p *Post) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.routes.ServeHTTP(w, r) }

// ServeSMTP takes mail on a listener, which it takes over, until Close.
func (p *Post) ServeSMTP(listener net.Listener) error {
	p.mu.Lock()
	p.doors = append(p.doors, listener)
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return listener.Close()
	}
	if err := p.server.Serve(listener); err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("take mail on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Close ends every conversation.
func (p *Post) Close() error {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.doors {
		_ = l.Close() // the server closes those that it has come to know once more
	}
	p.mu.Unlock()
	if err := p.server.Close(); err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Letters that were taken, oldest first.
func (p *Post) Letters() []Letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.letters)
}

// keep a letter; an SMS whose key is among those that are kept is one of them.
func (p *Post) keep(l Letter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.Channel == channelSMS && slices.ContainsFunc(p.letters, func(o Letter) bool { return o.Channel == channelSMS && o.MessageID == l.MessageID }) {
		return
	}
	if len(p.letters) >= maxLetters {
		p.letters = slices.Delete(p.letters, 0, len(p.letters)-maxLetters+1)
	}
	p.letters = append(p.letters, l)
}

// Fault has the next messages answered otherwise, one each: "refuse" (550), "busy" (451), or "lose": the message is taken,
// and the connection ends without an answer.
func (p *Post) Fault(faults ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

func (p *Post) nextFault() (fault string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) > 0 {
		fault, p.faults = p.faults[0], p.faults[1:]
	}
	return fault
}

// delivery is one conversation.
type delivery struct {
	post *Post
	conn net.Conn
	from string
	to   []string
}

// Reset implements smtp.Session.
func (d *delivery) Reset() { d.from, d.to = "", nil }

// Logout implements smtp.Session.
func (d *delivery) Logout() error { return nil }

// Mail implements smtp.Session.
func (d *delivery) Mail(from string, _ *smtp.MailOptions) error { d.from = from; return nil }

// Rcpt implements smtp.Session.
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error { d.to = append(d.to, to); return nil }

// Data implements smtp.Session.
func (d *delivery) Data(r io.Reader) error {
	fault := d.post.nextFault()
	switch fault {
	case "refuse":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "refused, as it was told to"}
	case "busy":
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "busy, as it was told to be"}
	}
	l, err := parseLetter(r)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "this is no message"}
	}
	for _, to := range d.to {
		l.Channel, l.From, l.To, l.At = "email", d.from, to, d.post.clock.Now()
		d.post.keep(l)
	}
	if fault == "lose" {
		return d.conn.Close()
	}
	return nil
}

// parseLetter reads a message of one or two text parts.
func parseLetter(r io.Reader) (l Letter, err error) {
	m, err := mail.ReadMessage(io.LimitReader(r, maxLetter))
	if err != nil {
		return l, err
	}
	l.MessageID = strings.Trim(m.Header.Get("Message-ID"), "<>")
	if l.Subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return l, err
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		text, err := io.ReadAll(decoded(m.Header.Get("Content-Transfer-Encoding"), m.Body))
		l.Text = string(text)
		return l, err
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return l, err
		}
		text, err := io.ReadAll(decoded(part.Header.Get("Content-Transfer-Encoding"), part))
		if err != nil {
			return l, err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			l.HTML = string(text)
		} else {
			l.Text = string(text)
		}
	}
}

func decoded(encoding string, r io.Reader) io.Reader {
	if strings.EqualFold(encoding, "quoted-printable") {
		return quotedprintable.NewReader(r)
	}
	return r
}

// takeSMS sends an SMS: the same Idempotency-Key counts once.
func (p *Post) takeSMS(w http.ResponseWriter, r *http.Request) {
	var q struct {
		To   string `json:"to"`
		Text string `json:"text"`
	}
	key := r.Header.Get("Idempotency-Key")
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLetter)).Decode(&q)
	if err != nil || key == "" || len(key) > 255 || !strings.HasPrefix(q.To, "+") || len(q.To) > 20 || q.Text == "" || len(q.Text) > maxText {
		http.Error(w, "an Idempotency-Key, to (+…) and text of at most 1,600 bytes are needed", http.StatusUnprocessableEntity)
		return
	}
	fault := p.nextFault()
	if fault == "busy" {
		http.Error(w, "busy, as it was told to be", http.StatusServiceUnavailable)
		return
	}
	p.keep(Letter{Channel: channelSMS, MessageID: key, To: q.To, Text: q.Text, At: p.clock.Now()})
	if fault == "lose" {
		panic(http.ErrAbortHandler) // it is sent, and the answer is lost
	}
	w.WriteHeader(http.StatusAccepted)
}

// list what was taken, newest first; ?to= for one recipient.
func (p *Post) list(w http.ResponseWriter, r *http.Request) {
	letters := p.newest(r.URL.Query().Get("to"))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"messages": letters}) // the reader may have gone
}

func (p *Post) newest(to string) []Letter {
	letters := []Letter{}
	for _, l := range slices.Backward(p.Letters()) {
		if to == "" || strings.EqualFold(l.To, to) {
			letters = append(letters, l)
		}
	}
	return letters
}

func (p *Post) setFaults(w http.ResponseWriter, r *http.Request) {
	var faults []string
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLetter)).Decode(&faults); err != nil {
		http.Error(w, `a list of "refuse", "busy" or "lose" is needed`, http.StatusUnprocessableEntity)
		return
	}
	p.Fault(faults...)
	w.WriteHeader(http.StatusNoContent)
}

// letterPage shows the text alone: whoever sends mail does not get to write a page.
var letterPage = template.Must(template.New("mail").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mail</title><style>body{font:16px/1.5 sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}article{border-top:1px solid}pre{white-space:pre-wrap}</style></head>
<body><h1>What the shop has sent</h1>{{range .}}<article><h2>{{if .Subject}}{{.Subject}}{{else}}SMS{{end}}</h2><p>To {{.To}}, {{.At.UTC.Format "2006-01-02 15:04:05"}} UTC</p><pre>{{.Text}}</pre></article>{{else}}<p>Nothing yet.</p>{{end}}</body></html>
`))

func (p *Post) page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = letterPage.Execute(w, p.newest(r.URL.Query().Get("to"))) // the reader may have gone
}
