package cells

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/passkey"
)

// Config of a cell: the environment first (CELLAR_CELL_…), flags override it.
type Config struct {
	Cell          string        `name:"id" usage:"id of this cell in the map"`
	Region        string        `name:"region" usage:"region this cell runs in"`
	Public        string        `name:"public" default:"127.0.0.1:8100" usage:"address for routers"`
	Internal      string        `name:"internal" default:"127.0.0.1:8120" usage:"address for other cells and operators"`
	Admin         string        `name:"admin" default:"127.0.0.1:8140" usage:"address of /livez, /readyz and /metrics"`
	Map           string        `name:"map" usage:"this cell's own file of the last good map, watched for changes"`
	MapKey        string        `name:"map-key-file" usage:"file of the public keys that maps may be signed with"`
	ControlPlane  string        `name:"control-plane" usage:"addresses of the control plane, host:port separated by commas; empty for none"`
	Consul        string        `name:"consul" usage:"address of a Consul agent that has the map; empty for none"`
	ConsulKey     string        `name:"consul-key" default:"cellar/map" usage:"Consul's key of the map"`
	ConsulMode    string        `name:"consul-mode" default:"stale" usage:"whose word Consul's reads take: stale, default or consistent"`
	DatabaseURL   string        `name:"database-url" usage:"SQL cluster, postgres://…; the three logical databases are on it"`
	PoolSize      int           `name:"pool-size" default:"8" usage:"connections to each logical database"`
	Lanes         int           `name:"lanes" default:"2" usage:"shared transactions, and shared readings, of one kind under way at once: 1 makes the largest groups, where the database is busy anyway"`
	Brokers       string        `name:"brokers" usage:"NATS server of each region, region=nats://host:port, separated by commas"`
	BrokerCreds   string        `name:"broker-credentials" usage:"file of this region's credential for the brokers, an nkey seed or nsc's .creds; or one for each region's broker, region=file, separated by commas; empty: brokers take anybody"`
	CardNetwork   string        `name:"card-network" usage:"address of the card network, http://host:port"`
	Carrier       string        `name:"carrier" usage:"address of the parcel carrier, http://host:port; empty: parcels leave without one"`
	CarrierName   string        `name:"carrier-name" default:"Parcel Post" usage:"the parcel carrier's name, as shoppers read it"`
	CarrierEvents string        `name:"carrier-events-key-file" usage:"file of the key that the carrier signs its scans with; without it they are not listened to"`
	TrackEvery    time.Duration `name:"track-every" default:"1h" usage:"after how much silence the carrier is asked after a parcel"`
	CardProvider  string        `name:"card-provider" default:"network" usage:"who takes money from cards: network (the card network above) or stripe"`
	CardEventsKey string        `name:"card-events-key-file" usage:"file of the key that the card provider signs its events with; without it they are not listened to"`
	StripeKey     string        `name:"stripe-key-file" usage:"file of Stripe's secret API key"`
	StripeURL     string        `name:"stripe-url" default:"https://api.stripe.com" usage:"address of Stripe's API"`
	GiftCardKey   string        `name:"gift-card-key-file" usage:"file of the key that gift card codes are made with, the same in every cell, for ever"`
	Capture       string        `name:"capture" default:"at-once" usage:"when a card is charged: at-once, when the order is placed, or on-shipment"`
	SessionKey    string        `name:"session-key-file" usage:"file of the key that signs sessions, the same in every cell"`
	QuoteKey      string        `name:"quote-key-file" usage:"file of the key that signs quotes, the same in every cell"`
	PeerKey       string        `name:"peer-key-file" usage:"file of the key that the platform's own processes show each other"`
	TestCards     bool          `name:"test-cards" default:"false" usage:"offer the card network's test cards at checkout; only where nothing is sold"`
	SecureCookies bool          `name:"secure-cookies" default:"false" usage:"mark session cookies Secure; on wherever routers speak TLS"`
	ShopURL       string        `name:"shop-url" default:"http://localhost:8080" usage:"address of the shop, as shoppers' browsers have it, for links in e-mails"`
	Passkeys      string        `name:"passkey-origins" usage:"origins of the shop at which passkeys are made and used, https://host separated by commas, all of the first one's domain; empty: there are none"`
	MailServer    string        `name:"mail-server" usage:"SMTP server, host:port; without it no e-mail is sent"`
	MailFrom      string        `name:"mail-from" default:"Cellar <no-reply@cellar.example>" usage:"sender of e-mails"`
	MailUser      string        `name:"mail-user" usage:"name at the SMTP server; empty for none"`
	MailPassword  string        `name:"mail-password-file" usage:"file of the password at the SMTP server; it is only sent over TLS"`
	MailTLS       bool          `name:"mail-require-tls" default:"false" usage:"send e-mail over TLS or not at all"`
	SMS           string        `name:"sms" usage:"address of the SMS provider, http://host:port; without it no SMS is sent"`
	NotifyWebhook string        `name:"notify-webhook-url" usage:"address that is told of what customers want to be told by it; empty for none"`
	NotifyKey     string        `name:"notify-webhook-key-file" usage:"file of the key that signs what that address is told"`
	Quickwit      string        `name:"quickwit-url" usage:"address of the Quickwit that orders, stock and searches are written into, http://host:port; empty for none"`
	PlanAround    time.Duration `name:"plan-around" default:"15s" usage:"after how long a wait of its events a region's centres get no orders that others can send; 0: never"`
	HandlingTime  time.Duration `name:"handling-time" default:"1s" usage:"between the request to ship and the hand-over to the carrier"`
	CollectEvery  time.Duration `name:"collect-every" default:"0s" usage:"how often the carrier collects, where days are short; 0: once a day, at 20:00 by each centre's clock"`
	ShortPicks    int           `name:"short-picks" default:"0" usage:"of how many lines in a hundred pickers find nothing on the shelf; only where nothing is sold"`
	Drain         time.Duration `name:"drain" default:"1s" usage:"how long requests are still taken after this cell has said that it stops"`
}

// Values of the settings card-provider and capture.
const (
	ProviderNetwork   = "network"
	ProviderStripe    = "stripe"
	CaptureAtOnce     = "at-once"
	CaptureOnShipment = "on-shipment"
)

// validate what can be known without connecting to anything.
func (c Config) validate() error {
	var wrong []error
	check := func(ok bool, name, want string) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s must be %s", name, want))
		}
	}
	_, known := ident.Region(c.Region).Code()
	check(c.Cell != "", "id", "the id of this cell")
	check(known, "region", fmt.Sprintf("one of %v", ident.Regions()))
	check(c.Map != "", "map", "the file of the last good map")
	check(c.MapKey != "", "map-key-file", "the file of the map's public keys")
	check(c.DatabaseURL != "", "database-url", "the address of the SQL cluster")
	check(c.Lanes >= 1 && c.Lanes <= 8, "lanes", "1 to 8")
	check(c.PoolSize >= 2 && c.PoolSize <= 100, "pool-size", "2 to 100")
	check(c.Carrier == "" || isAddress(c.Carrier), "carrier", "http://host:port")
	check(c.Carrier == "" || c.TrackEvery > 0, "track-every", "above 0")
	check(c.PlanAround >= 0, "plan-around", "0 or more")
	check(c.HandlingTime >= 0, "handling-time", "0 or more")
	check(c.CollectEvery >= 0, "collect-every", "0 or more")
	check(c.ShortPicks >= 0 && c.ShortPicks <= 100, "short-picks", "0 to 100")
	check(c.SessionKey != "" && c.QuoteKey != "" && c.PeerKey != "", "session-key-file, quote-key-file and peer-key-file", "the files of the keys")
	check(isAddress(c.ShopURL) || c.MailServer == "" && c.SMS == "", "shop-url", "https://host")
	if _, err := c.passkeys(make([]byte, 32)); err != nil {
		wrong = append(wrong, fmt.Errorf("passkey-origins: %w", err))
	}
	check(c.SMS == "" || isAddress(c.SMS), "sms", "http://host:port")
	check(c.Quickwit == "" || isAddress(c.Quickwit), "quickwit-url", "http://host:port")
	check(c.NotifyWebhook == "" || isAddress(c.NotifyWebhook) && c.NotifyKey != "", "notify-webhook-url", "https://host/path, with notify-webhook-key-file")
	check(c.GiftCardKey != "", "gift-card-key-file", "the file of the key of gift cards")
	check(c.CardProvider == ProviderNetwork || c.CardProvider == ProviderStripe, "card-provider", ProviderNetwork+" or "+ProviderStripe)
	check(c.Capture == CaptureAtOnce || c.Capture == CaptureOnShipment, "capture", CaptureAtOnce+" or "+CaptureOnShipment)
	if c.CardProvider == ProviderStripe {
		check(c.StripeKey != "", "stripe-key-file", "the file of Stripe's secret key")
		check(isAddress(c.StripeURL), "stripe-url", "https://host")
	} else {
		check(isAddress(c.CardNetwork), "card-network", "http://host:port")
	}
	if _, err := c.brokers(); err != nil {
		wrong = append(wrong, err)
	}
	if _, err := c.brokerCredentials(); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

func isAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != ""
}

// passkeys of the shop, with the key of its sessions; nil for none.
func (c Config) passkeys(key []byte) (*passkey.Party, error) {
	if c.Passkeys == "" {
		return nil, nil //nolint:nilnil // there are none, and nothing is wrong
	}
	return passkey.New(strings.Split(c.Passkeys, ","), key)
}

// brokers by region.
func (c Config) brokers() (map[ident.Region]string, error) {
	all, err := byRegion(c.Brokers, "brokers must be region=nats://host:port, separated by commas")
	if err != nil {
		return nil, err
	}
	if _, own := all[ident.Region(c.Region)]; !own {
		return nil, errors.New("brokers must name the broker of the cell's own region")
	}
	return all, nil
}

// brokerCredentials are files by the region of the broker that they are for. Whether they are there is found when they are needed:
// a cell serves without its brokers.
func (c Config) brokerCredentials() (map[ident.Region]string, error) {
	const want = "broker-credentials must be a file, or region=file, separated by commas"
	if strings.Contains(c.BrokerCreds, "=") {
		all, err := byRegion(c.BrokerCreds, want)
		for region, file := range all {
			if file == "" {
				return nil, fmt.Errorf("%s; got none for %s", want, region)
			}
		}
		return all, err
	}
	all := map[ident.Region]string{}
	for _, region := range ident.Regions() {
		if c.BrokerCreds != "" {
			all[region] = c.BrokerCreds
		}
	}
	return all, nil
}

// byRegion reads region=value, separated by commas; want is said of what is not so.
func byRegion(setting, want string) (map[ident.Region]string, error) {
	all := map[ident.Region]string{}
	for part := range strings.SplitSeq(setting, ",") {
		region, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if _, known := ident.Region(region).Code(); !found || !known {
			return nil, fmt.Errorf("%s; got %q", want, part)
		}
		all[ident.Region(region)] = value
	}
	return all, nil
}

// FormatBrokers is the inverse of what the brokers setting is read by.
func FormatBrokers(urls map[ident.Region]string) string {
	var parts []string
	for _, region := range ident.Regions() {
		if u, ok := urls[region]; ok {
			parts = append(parts, string(region)+"="+u)
		}
	}
	return strings.Join(parts, ",")
}
