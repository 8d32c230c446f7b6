package streams

import (
	"bytes"
	"io"
	"sync"
	"testing"
)

func BenchmarkTransfer(b *testing.B) {
	var lanes [2]*Lane
	var wg sync.WaitGroup
	over := make(chan struct{})
	for i := range lanes {
		chunks := make(chan []byte, 4)
		lanes[i] = New(Config{Dialer: i == 0, Send: func(p []byte) error {
			select {
			case chunks <- bytes.Clone(p):
				return nil
			case <-over:
				return errSessionOver
			}
		}})
		wg.Go(func() {
			for {
				select {
				case p := <-chunks:
					lanes[1-i].Feed(p)
				case <-over:
					return
				}
			}
		})
	}
	st, err := lanes[0].Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	peer, _ := lanes[1].Accept(b.Context())
	go io.Copy(io.Discard, peer)
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		st.Write(buf)
	}
	close(over)
	wg.Wait()
	lanes[0].Close(nil)
	lanes[1].Close(nil)
}
