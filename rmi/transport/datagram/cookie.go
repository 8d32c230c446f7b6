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

// cookieLife is how long a secret makes cookies. It takes them for as long
// again.
const cookieLife = 10 * time.Second

// cookies makes cookies and knows them again, with nothing kept for those who
// got one. One goroutine uses it.
type cookies struct {
	secrets [2]hash.Hash // that of now, and the one before
	since   time.Time
}

func newSecret() hash.Hash {
	key := make([]byte, sha256.BlockSize)
	rand.Read(key)
	return hmac.New(sha256.New, key)
}

// of appends the cookie of the secret i for who wants the connection id from
// an address.
func (c *cookies) of(b []byte, i int, from address, id connID) []byte {
	h := c.secrets[i]
	h.Reset()
	var place [18]byte
	if from.ip.IsValid() {
		a := from.ip.Addr().As16()
		copy(place[:], a[:])
		binary.BigEndian.PutUint16(place[16:], from.ip.Port())
	}
	var num [idSize]byte
	binary.BigEndian.PutUint64(num[:], uint64(id))
	h.Write(num[:])
	h.Write(place[:])
	h.Write([]byte(from.name))
	return h.Sum(b)[:len(b)+cookieSize]
}

// make appends a cookie to b.
func (c *cookies) make(b []byte, now time.Time, from address, id connID) []byte {
	c.rotate(now)
	return c.of(b, 0, from, id)
}

// knows reports whether this is a cookie that make gave a short while ago.
func (c *cookies) knows(cookie []byte, now time.Time, from address, id connID) bool {
	c.rotate(now)
	var sum [sha256.Size]byte
	for i := range c.secrets {
		if subtle.ConstantTimeCompare(c.of(sum[:0], i, from, id), cookie) == 1 {
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

// address is where a datagram came from, in a form that can be compared.
type address struct {
	ip   netip.AddrPort
	name string // of what has no IP address: an in-memory network
}

func addressOf(a net.Addr) address {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return address{ip: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
	}
	return address{name: a.String()}
}
