package bus

import (
	"fmt"
	"strings"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// Grant is what a user may do on a broker; subjects with NATS's wildcards.
type Grant struct {
	// Publish lists what may be published to.
	Publish []string
	// Subscribe lists what may be read directly. Streams are read by requests to $JS.API, into an inbox.
	Subscribe []string
}

// api is what the cells of a region ask of their own broker's JetStream: to declare its streams and to read them. Nothing of it
// deletes or purges a stream, a message or another's consumer.
func api() []string {
	return []string{
		"$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.INFO.*",
		"$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*", "$JS.ACK.>",
	}
}

// GrantFor the cells of one region on the broker of another, or of their own. Abroad they hand in what they have to say there, and
// read nothing but the acknowledgement. At home they own the streams, and may not destroy what those hold. There they publish
// other regions' news too: a dead letter goes back to the broker it came from.
func GrantFor(broker, user ident.Region) Grant {
	ring, _ := broker.Code() // of a region without one nothing can be homed
	g := Grant{Publish: []string{"fulfillment." + string(broker) + ".>", "order." + string(ring) + ".>"}, Subscribe: []string{inboxPrefix(user) + ".>"}}
	if broker != user {
		g.Publish = append(g.Publish, "stock."+string(user)+".summarized", "catalog.product.changed", "catalog.review.*")
		return g
	}
	g.Publish = append(g.Publish, "stock.>", "catalog.>", "search."+string(broker)+".>")
	g.Publish = append(g.Publish, api()...)
	return g
}

// FormatUsers is the part of a NATS server's configuration that lets the users of the regions in, by their public keys, and nobody else.
func FormatUsers(broker ident.Region, users map[ident.Region]string) string {
	var b strings.Builder
	b.WriteString("authorization {\n  users: [\n")
	for _, region := range ident.Regions() {
		key, ok := users[region]
		if !ok {
			continue
		}
		g := GrantFor(broker, region)
		fmt.Fprintf(&b, "    { # %s\n      nkey: %s\n      permissions: {\n        publish: { allow: [%s] }\n        subscribe: { allow: [%s] }\n      }\n    }\n",
			region, key, quoted(g.Publish), quoted(g.Subscribe))
	}
	b.WriteString("  ]\n}\n")
	return b.String()
}

func quoted(subjects []string) string { return `"` + strings.Join(subjects, `", "`) + `"` }
