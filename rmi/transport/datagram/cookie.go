package datagram

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"net"
	"net/netip"
	"time"
)

// cookieLife is how long a secret makes cookies. They are accepted for as long again.
const cookieLife = 10 * time.Second

// cookies makes cookies and recognises them, without storing anything for each. One goroutine
// uses it.
type cookies struct {
	secrets [2]hash.Hash // the present one, and the one before
	since   time.Time
	scratch []byte
}

func newSecret() hash.Hash {
	key := make([]byte, sha256.BlockSize)
	rand.Read(key)
	return hmac.New(sha256.New, key)
}

// of returns the cookie that secret i makes for a dialler at an address that wants a connection
// id. It is valid until the next call.
func (c *cookies) of(i int, from address, id connID) []byte {
	b := binary.BigEndian.AppendUint64(c.scratch[:0], uint64(id))
	ip := from.ip.Addr().As16() // zero if there is none
	b = binary.BigEndian.AppendUint16(append(b, ip[:]...), from.ip.Port())
	b = append(b, from.name()...)
	h := c.secrets[i]
	h.Reset()
	h.Write(b)
	c.scratch = h.Sum(b[:0])
	return c.scratch[:cookieSize]
}

// make returns a cookie, valid until the next call.
func (c *cookies) make(now time.Time, from address, id connID) []byte {
	c.rotate(now)
	return c.of(0, from, id)
}

// knows reports whether make returned this cookie a short while ago.
func (c *cookies) knows(cookie []byte, now time.Time, from address, id connID) bool {
	c.rotate(now)
	for i := range c.secrets {
		if subtle.ConstantTimeCompare(c.of(i, from, id), cookie) == 1 {
			return true
		}
	}
	return false
}

func (c *cookies) rotate(now time.Time) {
	age := now.Sub(c.since)
	if c.secrets[0] != nil && age < cookieLife {
		return
	}
	before := c.secrets[0]
	if before == nil || age >= 2*cookieLife {
		before = newSecret()
	}
	c.secrets, c.since = [2]hash.Hash{newSecret(), before}, now
}

// address is where a datagram came from.
type address struct {
	ip    netip.AddrPort
	other net.Addr // what the socket returned, if it was not asked for ip
}

func addressOf(a net.Addr) address {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return address{ip: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), other: a}
	}
	return address{other: a}
}

func (a address) addr() net.Addr {
	if a.other != nil {
		return a.other
	}
	return net.UDPAddrFromAddrPort(a.ip)
}

// name distinguishes addresses that are not of IP: those of an in-memory network.
func (a address) name() string {
	if a.ip.IsValid() {
		return ""
	}
	return a.other.String()
}

func (a address) equal(b address) bool { return a.ip == b.ip && a.name() == b.name() }
