package transport

import (
	"net"
	"net/netip"

	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
)

// account is what one owner's peers use of this node together: all their connections and
// sessions. The owner is the principal of the peers. Peers of which nothing proves who they
// are have the account of the address that they come from; of an IPv6 address its first 64
// bits count, for a host has all addresses that begin with them.
//
// Each total in Limits has a share for one account (Limits.Share). So whoever uses up its
// share leaves the others the rest. A use is counted before it begins, and taken back if it
// goes beyond the share or the total.
type account struct {
	key   string
	users int // connections in their handshake and sessions; guarded by the lock of accounts

	conns     use // that were accepted
	handshake use // of these, in the handshake
	handlers  use // calls of depth 0 being served, or waiting for a servant's turn
	nested    use // the same, of other calls
	assembled use // bytes of payloads that came in fragments, and are not used yet
	retained  use // bytes of replies that are not acknowledged

	waiting []*Session // whose queue a limit of all sessions holds up; guarded by the lock of workers
}

// accounts are those of the peers that a transport has.
type accounts struct {
	mu guard.Mutex[lockedAccounts]
}

// lockedAccounts is what the lock of accounts guards.
type lockedAccounts struct {
	byKey map[string]*account
}

// open returns the account of an owner for one more user, who is to close it.
func (a *accounts) open(key string) *account {
	st := a.mu.Lock()
	defer a.mu.Unlock()
	x := st.byKey[key]
	if x == nil {
		if st.byKey == nil {
			st.byKey = make(map[string]*account)
		}
		x = &account{key: key}
		st.byKey[key] = x
	}
	x.users++
	return x
}

// close ends one use of an account. An account that nobody uses is forgotten.
func (a *accounts) close(x *account) {
	if x == nil {
		return
	}
	st := a.mu.Lock()
	defer a.mu.Unlock()
	if x.users--; x.users == 0 {
		delete(st.byKey, x.key)
	}
}

// size counts the accounts.
func (a *accounts) size() int {
	st := a.mu.Lock()
	defer a.mu.Unlock()
	return len(st.byKey)
}

// ownerOf is the key of the account of a peer.
func ownerOf(principal string, from net.Addr) string {
	if principal != Anonymous {
		return "principal " + principal
	}
	if from == nil {
		return "nowhere"
	}
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		return from.Network() // all unnamed sockets of this machine
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() && !ip.Is4In6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return host
}

// share is how much of a total one account may use.
func (l *Limits) share(total int) int64 {
	return max(int64(total)*int64(l.Share)/100, 1)
}

// crowded is the error of a call for which a total, or the account's share of it, has no room.
// option names the total.
func (t *Transport) crowded(outcome fault.Outcome, what, option string, total int) *fault.Error {
	return fault.New(fault.KindOverloaded, outcome, "%s: this node takes %d at most (Options.Limits.%s), and %d%% of them from one principal, or from one address (Share)", what, total, option, t.Limits.Share)
}
