package rmi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/transport"
)

// Run serves until ctx ends. Then it shuts the node down gracefully (Shutdown, within
// Options.Drain) and closes it. It returns nil if nothing had to be given up.
func (n *Node) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-n.closed:
		return nil
	}
	drain := n.opts.Drain
	if drain <= 0 {
		drain = 10 * time.Second
	}
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := n.Shutdown(c)
	return errors.Join(err, n.Close())
}

// Shutdown ends the node's service gracefully. It removes the node's bindings, tells peers that it
// takes no new calls, and waits for the calls in flight, at most until ctx ends. It waits until
// methods have returned, also those whose arguments are still arriving, and until callers have the
// replies. It also waits for this node's own calls. After that the node no longer listens. Close
// must follow.
//
// Calls that come later are refused with NotExecuted. A connection that is cut meanwhile is made
// again. If a peer has no connection and does not come back within 2 s, Shutdown waits for the
// methods that it called, but not for their replies.
//
// The error says how much was given up, and which calls; their callers get PeerGone with Unknown.
// What a Close cuts off meanwhile is given up too.
// There is no error if callers lost nothing: Shutdown does not wait for calls that were cancelled
// or whose callers died.
//
// A method that calls Shutdown passes its own context, or one derived from it. Then
// Shutdown does not wait for that call and those of its chain.
func (n *Node) Shutdown(ctx context.Context) error {
	n.runHooks(ctx)
	err := n.transport.Shutdown(ctx)
	var u *transport.Unfinished
	if errors.As(err, &u) {
		return n.gaveUp(u)
	}
	return err
}

// gaveUp is the error of a shutdown that left something unfinished.
func (n *Node) gaveUp(u *transport.Unfinished) error {
	var parts []string
	add := func(count int, one, many string, which []string) {
		switch {
		case count == 1:
			parts = append(parts, "1 "+one+listed(which))
		case count > 1:
			parts = append(parts, fmt.Sprintf("%d %s%s", count, many, listed(which)))
		}
	}
	add(len(u.Serving), "call is being served", "calls are being served", n.servedNames(u.Serving))
	add(u.Arriving, "call's arguments are arriving", "calls' arguments are arriving", nil)
	add(u.Replies, "reply may not have arrived", "replies may not have arrived", nil)
	add(len(u.Calls), "call of this node is not answered", "calls of this node are not answered", madeNames(u.Calls))
	kind := cmp.Or(fault.ContextKind(u.Reason), fault.KindOf(u.Reason))
	return fault.Add(fault.New(kind, fault.OutcomeUnknown, "gave up what was in flight: %s", strings.Join(parts, "; ")), fault.Op("shutdown"), fault.Cause(u.Reason))
}

// servedNames names the methods that are served.
func (n *Node) servedNames(calls []transport.Call) (names []string) {
	for _, c := range calls {
		name := "a call to relay"
		if e := n.exports.Get(c.Object); !c.Relay && e != nil {
			name = e.Interface.Name
			if m := e.Interface.ByID(c.Method); m != nil {
				name += "." + m.Name
			}
		} else if !c.Relay {
			name = "an object that is not exported any more"
		}
		names = append(names, name)
	}
	return names
}

// madeNames names the methods that are called.
func madeNames(calls []transport.Call) (names []string) {
	for _, c := range calls {
		if c.Name == "" {
			c.Name = "a call"
		}
		names = append(names, c.Name+" at node "+c.Peer.Short())
	}
	return names
}

// listed lists names, each once with its count. Of many it lists the first.
func listed(names []string) string {
	const most = 8
	count := make(map[string]int)
	var each []string
	for _, name := range names {
		if count[name]++; count[name] == 1 {
			each = append(each, name)
		}
	}
	more := ""
	if len(each) > most {
		each, more = each[:most], ", and others"
	}
	for i, name := range each {
		if count[name] > 1 {
			each[i] = fmt.Sprintf("%s ×%d", name, count[name])
		}
	}
	if len(each) == 0 {
		return ""
	}
	return " (" + strings.Join(each, ", ") + more + ")"
}
