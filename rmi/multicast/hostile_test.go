package multicast_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/multicast"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// What a peer may write on a stream for packets, and what happens then.
func TestHostileStreamsOfPackets(t *testing.T) {
	packet := func(b ...byte) string {
		return string(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	}
	good := packet(1, 1, 0, 0, 0, 0xc0)
	limits := wire.Limits{}.WithDefaults()
	for _, c := range []struct {
		name   string
		writes []string // one for each stream
		ends   bool     // the session, as a breach of the protocol; else the first stream is reset
	}{
		{"another purpose", []string{"BULK\x01\x00\x00\x00"}, false},
		{"another version", []string{"EVNT\x02\x00\x00\x00"}, false},
		{"no receivers", []string{wire.MulticastPreamble + good + packet(0, 0, 0, 0)}, true},
		{"length over the limit", []string{wire.MulticastPreamble + "\xff\xff\xff\xff"}, true},
		{"length just over the limit", []string{wire.MulticastPreamble + string(binary.BigEndian.AppendUint32(nil, uint32(limits.Message+wire.MaxMulticast+1)))}, true},
		{"a second stream", []string{wire.MulticastPreamble + good, wire.MulticastPreamble + good}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			owner, err := rmi.Listen(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer owner.Close()
			peer := rmi.NewNode(nil)
			defer peer.Close()
			if _, err := peer.Describe(t.Context(), refs.WellKnown(owner.Endpoint(), refs.RegistryObject)); !errors.Is(err, rmi.KindNoSuchObject) {
				t.Fatal(err)
			}
			l := multicast.LinkOf(peer.Port().Multicast().Peer(owner.ID()))
			s := l.Session()
			var first streams.Stream
			for _, text := range c.writes {
				st, err := l.OpenStream(context.Background())
				if err == nil {
					_, err = st.Write([]byte(text))
				}
				if err != nil {
					if c.ends {
						break
					}
					t.Fatal(err)
				}
				if first == nil {
					first = st
				}
			}
			if !c.ends {
				_, err = first.Read(make([]byte, 1))
				if !errors.Is(err, streams.ErrReset) || s.Err() != nil {
					t.Errorf("the stream: %v, the session: %v", err, s.Err())
				}
				return
			}
			select {
			case <-s.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("the session goes on")
			}
			if !errors.Is(s.Err(), rmi.KindProtocol) && !errors.Is(s.Err(), rmi.KindPeerGone) {
				t.Errorf("the session ended with %v", s.Err())
			}
		})
	}
}
