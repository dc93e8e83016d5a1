package sandbox

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// Config of the sandbox process: the environment first, flags override it.
type Config struct {
	// Listen is the address, host:port, of everything the sandbox serves.
	Listen string
	// MailListen is the address, host:port, on which mail is taken; empty: none is.
	MailListen string
	// DataDir holds the ledger file; empty keeps the ledger in memory.
	DataDir string
	// SlowDelay is how long tok_slow thinks before it charges.
	SlowDelay time.Duration
	// WebhookURL is told of every effect; empty for nobody. WebhookKeyFile has the key that signs it.
	WebhookURL, WebhookKeyFile string
	// CarrierDay is how long a day of the parcel carrier takes; CarrierWebhookURL is told of every scan, signed as above.
	CarrierDay        time.Duration
	CarrierWebhookURL string
}

// ParseConfig reads args, without the program's name, over the environment that getenv gives. Usage and complaints
// about args go to usage. The error is flag.ErrHelp when help was asked for.
func ParseConfig(args []string, getenv func(string) string, usage io.Writer) (Config, error) {
	c := Config{Listen: "127.0.0.1:8070", DataDir: getenv("CELLAR_SANDBOX_DATA")}
	if listen := getenv("CELLAR_SANDBOX_LISTEN"); listen != "" {
		c.Listen = listen
	}
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&c.Listen, "listen", c.Listen, "`address` to serve on (CELLAR_SANDBOX_LISTEN)")
	flags.StringVar(&c.MailListen, "mail-listen", getenv("CELLAR_SANDBOX_MAIL_LISTEN"), "`address` to take mail on, for people to read at /mail/; none takes no mail (CELLAR_SANDBOX_MAIL_LISTEN)")
	flags.StringVar(&c.DataDir, "data", c.DataDir, "`directory` of the ledger; none keeps it in memory (CELLAR_SANDBOX_DATA)")
	flags.DurationVar(&c.SlowDelay, "slow-delay", defaultSlowDelay, "how long tok_slow thinks")
	flags.StringVar(&c.WebhookURL, "webhook-url", getenv("CELLAR_SANDBOX_WEBHOOK_URL"), "`address` that is told of every effect; none tells nobody (CELLAR_SANDBOX_WEBHOOK_URL)")
	flags.StringVar(&c.WebhookKeyFile, "webhook-key-file", getenv("CELLAR_SANDBOX_WEBHOOK_KEY_FILE"), "`file` of the key that signs what is told (CELLAR_SANDBOX_WEBHOOK_KEY_FILE)")
	flags.DurationVar(&c.CarrierDay, "carrier-day", defaultDay, "how long a day of the parcel carrier takes, from a second")
	flags.StringVar(&c.CarrierWebhookURL, "carrier-webhook-url", getenv("CELLAR_SANDBOX_CARRIER_WEBHOOK_URL"), "`address` that is told of every scan of a parcel; none tells nobody (CELLAR_SANDBOX_CARRIER_WEBHOOK_URL)")
	if err := flags.Parse(args); err != nil {
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if c.SlowDelay <= 0 || c.SlowDelay > holdLimit {
		return Config{}, fmt.Errorf("--slow-delay must be above 0 and at most %s", holdLimit)
	}
	if c.CarrierDay < minDay || c.CarrierDay > defaultDay {
		return Config{}, fmt.Errorf("--carrier-day must be %s to %s", minDay, defaultDay)
	}
	return c, nil
}

// Ledger opens the ledger that c names. The caller closes it.
func (c Config) Ledger() (*Ledger, error) {
	if c.DataDir == "" {
		return NewMemoryLedger(), nil
	}
	return OpenLedger(c.DataDir)
}

// Post that takes mail where c says. The caller closes it.
func (c Config) Post(ctx context.Context, log *slog.Logger) (*Post, error) {
	post := NewPost(clock.System{})
	if c.MailListen == "" {
		return post, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.MailListen)
	if err != nil {
		return nil, fmt.Errorf("%w (another address: --mail-listen or CELLAR_SANDBOX_MAIL_LISTEN)", err)
	}
	go func() {
		if err := post.ServeSMTP(listener); err != nil {
			log.Error("mail is taken no more", "error", err)
		}
	}()
	return post, nil
}
