package sandbox

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

func sms(p *Post, key, body string) int {
	r := httptest.NewRequest(http.MethodPost, "/sms/v1/messages", strings.NewReader(body))
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Code
}

func TestAnSMSOfOneKeyIsSentOnce(t *testing.T) {
	p := NewPost(clock.NewManual(time.Unix(1_900_000_000, 0)))
	const body = `{"to": "+15550100", "text": "<script>alert(1)</script>"}`
	for _, key := range []string{"a", "a", "b"} {
		if code := sms(p, key, body); code != http.StatusAccepted {
			t.Errorf("%s: %d", key, code)
		}
	}
	for _, wrong := range []string{"", "{}", `{"to": "5550100", "text": "x"}`, `{"to": "+15550100", "text": ""}`} {
		if code := sms(p, "c", wrong); code != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d", wrong, code)
		}
	}
	if n := len(p.Letters()); n != 2 {
		t.Errorf("%d were sent", n)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/mail/", nil))
	if strings.Contains(w.Body.String(), "<script>") || !strings.Contains(w.Body.String(), "15550100") {
		t.Errorf("the page: %s", w.Body)
	}
}

func TestOldLettersGo(t *testing.T) {
	p := NewPost(clock.NewManual(time.Unix(1_900_000_000, 0)))
	for range maxLetters + 5 {
		p.keep(Letter{})
	}
	if n := len(p.Letters()); n != maxLetters {
		t.Errorf("%d are kept", n)
	}
}

func FuzzParseLetter(f *testing.F) {
	f.Add("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>\r\n--x--\r\n")
	f.Add("Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db")
	f.Fuzz(func(t *testing.T, text string) {
		if l, err := parseLetter(strings.NewReader(text)); err == nil && len(l.Text)+len(l.HTML) > 4*maxLetter {
			t.Errorf("%d bytes of %d", len(l.Text)+len(l.HTML), len(text))
		}
	})
}
