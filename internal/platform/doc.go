// Package platform runs the whole of Cellar on one machine: for `cellctl up`, and for the
// end-to-end tests, which share it.
//
// Every part is an operating system process of its own, so that `kill -9` is a real fault:
// the SQL database, a card network (the sandbox), the control plane, and in each region a NATS
// server, two cells and a router. Their output goes to one folder. Nothing is started again by itself: a part
// that ends is reported with its last lines, and stays down until somebody says restart.
//
//	<dir>/
//	  platform.lock   held while a platform runs here
//	  control.sock    what `cellctl status|restart|down` talk to
//	  map             the newest map, signed; the control plane writes it
//	  cells.json      the cells of this platform, for the control plane
//	  maps/           each router's and cell's own last good map
//	  keys/           secrets of this platform, made once
//	  logs/           one file a process
//	  nats/ sandbox/ postgres/   data
//
// Start order: database, brokers and sandbox at once → schema → control plane, which deals the
// slots and makes the map → catalogue if empty → cells → routers. Stop order is the reverse.
package platform
