package audit

import "fmt"

// lineAt is one FC's part of an order's line.
type lineAt struct {
	fc   string
	line int32
}

// goods of a line at an FC, in units.
type goods struct{ paid, shipped, aside int64 }

// checkLines: what was paid for ships exactly once. Of each line, at each FC, all units have left, or none has and all are
// set aside; of a parcel that was canceled, and of units that were not found, neither. An order that has ended has nothing set
// aside any more. A hold where nothing is to be sent from is another matter: the FC was dropped from the plan because its answer
// was lost, and the hold runs out by itself.
func (o *order) checkLines(f *findings, id string) {
	if o.live() || !o.paid() || o.waiting {
		return // between two steps, or before the order has heard of them, both sides may be right
	}
	all := map[lineAt]goods{}
	for at, units := range o.lines {
		all[at] = goods{paid: units}
	}
	for _, r := range o.reservations {
		at := lineAt{r.fc, r.line}
		g := all[at]
		switch r.state {
		case "SHIPPED":
			g.shipped += r.quantity
		case "COMMITTED":
			g.aside += r.quantity
		case "HELD":
			if _, planned := o.lines[at]; !planned {
				continue
			}
			g.aside += r.quantity
		}
		all[at] = g
	}
	for at, g := range all {
		f.checked[once]++
		if o.canceled[at.fc] {
			g.paid = 0
		}
		subject := fmt.Sprint(id, "/", at.line)
		switch {
		case g.shipped > g.paid:
			f.add(once, subject, "%d units left %s, of %d to be sent", g.shipped, at.fc, g.paid)
		case g.aside > 0 && o.status != "PAID":
			f.add(noStuckStock, subject, "is of an order that is %s, and %d units are set aside at %s", o.status, g.aside, at.fc)
		case g.shipped+g.aside != g.paid:
			f.add(once, subject, "%d units left %s and %d are set aside, of %d to be sent", g.shipped, at.fc, g.aside, g.paid)
		case g.shipped > 0 && g.aside > 0:
			f.add(once, subject, "%d units left %s, and %d stayed behind", g.shipped, at.fc, g.aside)
		}
	}
}
