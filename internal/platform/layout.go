package platform

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// CellsPerRegion of the local platform, if nothing else is said.
const CellsPerRegion = 2

// Ports before the offset. Those of cells are followed by one for each further cell.
const (
	portRouter       = 8080
	portSandbox      = 8070
	portMail         = 8071
	portCellPublic   = 8100
	portCellInternal = 8120
	portCellAdmin    = 8140
	portRouterAdmin  = 8160
	// The control plane, and its standby next to it.
	portControlPlane      = 8090
	portControlPlaneAdmin = 8180
	portBroker            = 4222
	portDatabase          = 26257
)

// CellSpec says where one cell listens.
type CellSpec struct {
	ID       string
	Region   ident.Region
	Public   string
	Internal string
	Admin    string
}

// RouterSpec says where one router listens.
type RouterSpec struct {
	Region ident.Region
	Listen string
	Admin  string
}

// ControlPlaneSpec says where one control plane listens.
type ControlPlaneSpec struct {
	Name   string
	Listen string
	Admin  string
}

// Layout of the processes and their addresses.
type Layout struct {
	Cells   []CellSpec
	Routers []RouterSpec
	// ControlPlanes: the first is always started, the second is a standby for who wants one.
	ControlPlanes []ControlPlaneSpec
	Brokers       map[ident.Region]int
	Sandbox       string
	// Mail is where the sandbox takes mail.
	Mail     string
	Database int
}

// NewLayout with every port moved by offset.
func NewLayout(offset int) Layout { return layoutWith(offset, CellsPerRegion) }

func layoutWith(offset, cellsPerRegion int) Layout {
	l := Layout{Brokers: map[ident.Region]int{}, Sandbox: loopback(portSandbox + offset), Mail: loopback(portMail + offset), Database: portDatabase + offset}
	n := 0
	for i, region := range ident.Regions() {
		code, _ := region.Code() // Regions lists only those that have one
		l.Brokers[region] = portBroker + i + offset
		l.Routers = append(l.Routers, RouterSpec{Region: region, Listen: loopback(portRouter + i + offset), Admin: loopback(portRouterAdmin + i + offset)})
		for c := range cellsPerRegion {
			l.Cells = append(l.Cells, CellSpec{
				ID: string(code) + "-" + string(rune('a'+c)), Region: region,
				Public: loopback(portCellPublic + n + offset), Internal: loopback(portCellInternal + n + offset), Admin: loopback(portCellAdmin + n + offset),
			})
			n++
		}
	}
	for i, name := range []string{"controlplane", "controlplane-standby"} {
		l.ControlPlanes = append(l.ControlPlanes, ControlPlaneSpec{Name: name, Listen: loopback(portControlPlane + i + offset), Admin: loopback(portControlPlaneAdmin + i + offset)})
	}
	return l
}

// PasskeyOrigins are the shop's at every router, by the one name of this machine that browsers allow passkeys for.
func (l Layout) PasskeyOrigins() string {
	origins := make([]string, len(l.Routers))
	for i, r := range l.Routers {
		_, port, _ := strings.Cut(r.Listen, ":") // as loopback has made it
		origins[i] = "http://localhost:" + port
	}
	return strings.Join(origins, ",")
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// checkPorts tries every port before anything is started, and names the one that is taken.
func (l Layout) checkPorts(ctx context.Context, ownDatabase bool) error {
	taken := func(what, address string) error {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("%s needs %s, which is taken: stop what uses it, or move all ports with --port-offset, for example --port-offset 1000", what, address)
		}
		return ln.Close()
	}
	wanted := map[string]string{l.Sandbox: "the sandbox", l.Mail: "the sandbox's mail"}
	if ownDatabase {
		wanted[loopback(l.Database)] = "the database"
	}
	for region, port := range l.Brokers {
		wanted[loopback(port)] = "the broker of " + string(region)
	}
	for _, c := range l.Cells {
		wanted[c.Public], wanted[c.Internal], wanted[c.Admin] = "cell "+c.ID, "cell "+c.ID, "cell "+c.ID
	}
	for _, r := range l.Routers {
		wanted[r.Listen], wanted[r.Admin] = "the router of "+string(r.Region), "the router of "+string(r.Region)
	}
	for _, c := range l.ControlPlanes {
		wanted[c.Listen], wanted[c.Admin] = "the control plane", "the control plane"
	}
	for address, what := range wanted {
		if err := taken(what, address); err != nil {
			return err
		}
	}
	return nil
}

// readyTimeout bounds the wait for one process. On a slow machine the first start builds six search indexes at once.
const readyTimeout = 90 * time.Second
