// Package inventory has the results of rmi.Node.Inventory and rmi.Node.Stats: the objects that
// a node exports and holds, and counts of what it has.
package inventory

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gormi/refs"
)

// Inventory lists the objects that a node exports, with their holders, and the objects of other
// nodes that it holds. Look at it when an object is not collected, or was collected too early.
// Objects that nodes hold in a circle are not collected: you find them here.
type Inventory struct {
	Time    time.Time
	Exports []Exported // the oldest first
	Held    []Held     // by owner, the oldest first
}

// Exported is an object that a node exports. It is collected when it has neither handles nor
// holders.
type Exported struct {
	Object    refs.ObjNum
	Interface string
	Since     time.Time
	Handles   int // of Export and bindings, those not closed
	Holders   []HeldBy
}

// HeldBy is a session whose peer holds references, or gave them to this node.
type HeldBy struct {
	Node    refs.NodeID
	Session SessionID
	Count   uint32    // references that were not given back
	Since   time.Time // of a holder of an export

	// Lingers is zero unless the session is over. Then a node closed it that had handed the
	// references on, and until Lingers others can register.
	Lingers time.Time
}

// SessionID names a session between two nodes. Both use the same one.
type SessionID [16]byte

// Held is another node's object that this node holds, or that it handed on.
type Held struct {
	Ref    refs.Ref
	Since  time.Time
	Pins   int      // proxies, packets, and calls under way that use it here
	From   []HeldBy // who gave the reference; nobody: it was resolved, or its session is over
	To     []HeldBy // to whom it was handed on, if it was not given back
	Direct bool     // the owner knows of this holder
	Relay  bool     // this node relays calls to it
}

// String returns the inventory as tables for people. Object numbers are left out.
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
