package rmi

import (
	"time"

	"gormi/rmi/inventory"
	"gormi/rmi/transport"
)

// Inventory lists what the node exports and holds now.
func (n *Node) Inventory() *inventory.Inventory {
	inv := &inventory.Inventory{Time: time.Now()}
	for _, e := range n.exports.All() {
		x := inventory.Exported{Object: e.Num, Interface: e.Interface.Name, Since: e.Since, Handles: e.Handles}
		for _, g := range e.Holders {
			h := inventory.HeldBy{Count: g.Count, Since: g.Since, Lingers: g.Until}
			if s, ok := g.To.(*transport.Session); ok {
				h.Node, h.Session = s.Peer(), inventory.SessionID(s.ID())
			}
			x.Holders = append(x.Holders, h)
		}
		inv.Exports = append(inv.Exports, x)
	}
	for _, e := range n.leases.table.All() {
		h := inventory.Held{Ref: e.Ref, Since: e.Since, Pins: e.Pins, Direct: e.Direct(), Relay: e.Relay}
		for _, f := range e.From {
			h.From = append(h.From, inventory.HeldBy{Node: f.Session.Peer(), Session: inventory.SessionID(f.Session.ID()), Count: f.Count})
		}
		for _, f := range e.Handed {
			h.To = append(h.To, inventory.HeldBy{Node: f.Session.Peer(), Session: inventory.SessionID(f.Session.ID()), Count: f.Count})
		}
		inv.Held = append(inv.Held, h)
	}
	return inv
}
