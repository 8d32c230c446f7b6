// Package inventory is what rmi.Node.Inventory and rmi.Node.Stats return: the objects that a node
// exports and holds, and counts of what it has.
package inventory

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gormi/refs"
)

// Inventory lists which objects a node exports, and for whom, and which objects of other
// nodes it holds. Look at it when an object is not collected, or was collected too early.
// Objects that nodes hold in a circle are not collected; they are found here.
type Inventory struct {
	Time    time.Time
	Exports []Exported // the oldest first
	Held    []Held     // by owner, the oldest first
}

// Exported is an object that a node exports. It is collected when it has
// neither handles nor holders.
type Exported struct {
	Object    refs.ObjNum
	Interface string
	Since     time.Time
	Handles   int // of Export and bindings, not closed
	Holders   []HeldBy
}

// HeldBy is a session whose peer holds references, or handed them out.
type HeldBy struct {
	Node    refs.NodeID
	Session SessionID
	Count   uint32    // references that were not given back
	Since   time.Time // of a holder of an export

	// Lingers is not zero if the session is over and was closed by a node that
	// had handed the references on: until then others can register.
	Lingers time.Time
}

// SessionID names a session between two nodes. Both use the same one.
type SessionID [16]byte

// Held is another node's object that a node holds, or that it handed on.
type Held struct {
	Ref    refs.Ref
	Since  time.Time
	Pins   int      // proxies, packets, and calls under way that use it here
	From   []HeldBy // who gave the reference; nobody: it was resolved, or its session is over
	To     []HeldBy // to whom it was handed on and who did not give it back
	Direct bool     // the owner knows of this holder
	Relay  bool     // this node relays calls to it
}

// String is the inventory as tables for people. Object numbers are left out.
func (inv *Inventory) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%d objects exported\n", len(inv.Exports))
	if len(inv.Exports) > 0 {
		fmt.Fprintln(w, "interface\tage\thandles\theld by")
		for _, e := range inv.Exports {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", e.Interface, inv.age(e.Since), e.Handles, inv.sessions(e.Holders))
		}
	}
	w.Flush()
	fmt.Fprintf(w, "%d objects of others held\n", len(inv.Held))
	if len(inv.Held) > 0 {
		fmt.Fprintln(w, "interface\towner\tage\tpins\tfrom\thanded to\t")
		for _, h := range inv.Held {
			var notes []string
			if !h.Direct {
				notes = append(notes, "the owner does not know")
			}
			if h.Relay {
				notes = append(notes, "relayed")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", h.Ref.Interface.Name, h.Ref.Node.Short(), inv.age(h.Since), h.Pins,
				inv.sessions(h.From), inv.sessions(h.To), strings.Join(notes, ", "))
		}
	}
	w.Flush()
	return b.String()
}

func (inv *Inventory) age(t time.Time) string { return inv.Time.Sub(t).Round(time.Second).String() }

func (inv *Inventory) sessions(list []HeldBy) string {
	if len(list) == 0 {
		return "-"
	}
	var texts []string
	for _, h := range list {
		t := fmt.Sprintf("%s ×%d", h.Node.Short(), h.Count)
		if !h.Since.IsZero() {
			t += " for " + inv.age(h.Since)
		}
		if !h.Lingers.IsZero() {
			t = "one that closed, for " + h.Lingers.Sub(inv.Time).Round(time.Second).String() + " more"
		}
		texts = append(texts, t)
	}
	return strings.Join(texts, ", ")
}
