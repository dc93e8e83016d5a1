package cells

import (
	"maps"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/ident"
)

func goodConfig() Config {
	return Config{
		Cell: "use1-a", Region: "us-east-1", Map: "map", MapKey: "map.pub", DatabaseURL: "postgres://x", PoolSize: 8, Lanes: 2, Brokers: "us-east-1=nats://127.0.0.1:4222",
		CardNetwork: "http://127.0.0.1:8070", SessionKey: "a", QuoteKey: "b", PeerKey: "c", GiftCardKey: "d",
		CardProvider: ProviderNetwork, Capture: CaptureAtOnce,
	}
}

func TestEverySettingThatIsWrongIsNamed(t *testing.T) {
	if err := goodConfig().validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Config){
		"id must be":               func(c *Config) { c.Cell = "" },
		"region must be":           func(c *Config) { c.Region = "mars-1"; c.Brokers = "" },
		"map must be":              func(c *Config) { c.Map = "" },
		"map-key-file must":        func(c *Config) { c.MapKey = "" },
		"database-url must be":     func(c *Config) { c.DatabaseURL = "" },
		"lanes must be 1 to 8":     func(c *Config) { c.Lanes = 9 },
		"pool-size must be 2":      func(c *Config) { c.PoolSize = 1 },
		"pool-size must be 2 to":   func(c *Config) { c.PoolSize = 101 },
		"passkey-origins":          func(c *Config) { c.Passkeys = "https://shop.test,https://evil.test" },
		"handling-time must be":    func(c *Config) { c.HandlingTime = -1 },
		"peer-key-file must be":    func(c *Config) { c.PeerKey = "" },
		"card-network must be":     func(c *Config) { c.CardNetwork = "127.0.0.1" },
		"card-provider must be":    func(c *Config) { c.CardProvider = "bank" },
		"stripe-key-file must be":  func(c *Config) { c.CardProvider = ProviderStripe; c.StripeURL = "https://api.stripe.com" },
		"stripe-url must be":       func(c *Config) { c.CardProvider, c.StripeKey = ProviderStripe, "e" },
		"gift-card-key-file must":  func(c *Config) { c.GiftCardKey = "" },
		"capture must be at-once":  func(c *Config) { c.Capture = "never" },
		"got \"us-east-1\"":        func(c *Config) { c.Brokers = "us-east-1" },
		"mars-1=nats://x\"":        func(c *Config) { c.Brokers = "us-east-1=nats://y, mars-1=nats://x" },
		"of the cell's own region": func(c *Config) { c.Brokers = "us-west-2=nats://x" },
	} {
		c := goodConfig()
		spoil(&c)
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	err := Config{}.validate()
	if n := strings.Count(err.Error(), "must"); n < 8 {
		t.Errorf("of an empty configuration only %d things are told: %v", n, err)
	}
}

func TestBothProvidersAndBothWaysToCaptureAreTaken(t *testing.T) {
	c := goodConfig()
	c.CardProvider, c.CardNetwork, c.StripeKey, c.StripeURL, c.Capture = ProviderStripe, "", "e", "https://api.stripe.com", CaptureOnShipment
	if err := c.validate(); err != nil {
		t.Error(err)
	}
}

func TestBrokersAreReadAsTheyAreWritten(t *testing.T) {
	c := goodConfig()
	want := map[ident.Region]string{"us-east-1": "nats://a:1", "us-west-2": "nats://b:2", "eu-central-1": "nats://c:3"}
	c.Brokers = FormatBrokers(want)
	if got, err := c.brokers(); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestACredentialIsForAllBrokersOrForEachItsOwn(t *testing.T) {
	for given, want := range map[string]map[ident.Region]string{
		"":                               {},
		"/k/a.nk":                        {"us-east-1": "/k/a.nk", "us-west-2": "/k/a.nk", "eu-central-1": "/k/a.nk"},
		"us-east-1=/k/a, us-west-2=/k/b": {"us-east-1": "/k/a", "us-west-2": "/k/b"},
		"us-east-1=/k/a,nowhere=/k/b":    nil,
		"us-east-1=":                     nil,
	} {
		c := goodConfig()
		c.BrokerCreds = given
		got, err := c.brokerCredentials()
		if (err != nil) != (want == nil) || !maps.Equal(got, want) || (c.validate() != nil) != (want == nil) {
			t.Errorf("%q: %v, %v", given, got, err)
		}
	}
}

func TestACellIsReadyWhenItServesAndItsIndexIsBuilt(t *testing.T) {
	for _, order := range [][]func(*readiness){
		{func(r *readiness) { r.setServing(true) }, (*readiness).setBuilt},
		{(*readiness).setBuilt, func(r *readiness) { r.setServing(true) }},
	} {
		r := newReadiness()
		order[0](r)
		if r.answer.Ready() {
			t.Error("ready too early")
		}
		if order[1](r); !r.answer.Ready() {
			t.Error("not ready")
		}
		if r.setServing(false); r.answer.Ready() {
			t.Error("ready while it stops")
		}
	}
}
