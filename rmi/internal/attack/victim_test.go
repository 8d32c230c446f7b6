//go:build linux

package attack

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"gormi/callback"
	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// victimEnv makes TestVictim a process that is attacked.
const victimEnv = "GORMI_VICTIM"

// Numbers of the victim's objects.
const (
	targetObject refs.ObjNum = 4242
	topicObject  refs.ObjNum = 4243
)

// Called is a function that a client passes.
type Called = func(ctx context.Context, s string) error

// Wide is a value that takes much more memory than it has bytes.
type Wide struct {
	A, B, C, D, E, F, G, H [8]int64
}

// Target is the victim's object.
type Target interface {
	Echo(ctx context.Context, b []byte) ([]byte, error)
	// Sleep returns when its context ends.
	Sleep(ctx context.Context) error
	// Blob returns n bytes.
	Blob(ctx context.Context, n int64) ([]byte, error)
	// Call calls f.
	Call(ctx context.Context, f Called, s string) error
	// Give returns a new object of the victim.
	Give(ctx context.Context) (Called, error)
	Wides(ctx context.Context, w []Wide, m map[string][]Wide) (int64, error)
	Any(ctx context.Context, v any) error
}

type target struct{}

func (target) Echo(_ context.Context, b []byte) ([]byte, error) { return b, nil }

func (target) Sleep(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (target) Blob(_ context.Context, n int64) ([]byte, error) {
	return make([]byte, min(max(n, 0), 3<<20)), nil
}

func (target) Call(ctx context.Context, f Called, s string) error {
	return f(ctx, s)
}

func (target) Give(context.Context) (Called, error) {
	return func(context.Context, string) error { return nil }, nil
}

func (target) Wides(_ context.Context, w []Wide, m map[string][]Wide) (int64, error) {
	return int64(len(w) + len(m)), nil
}

func (target) Any(context.Context, any) error { return nil }

// book is the victim's log. It counts records, and those that could fool who reads them.
type book struct {
	lines atomic.Int64
	mu    sync.Mutex // guards the fields below
	dirty int
	first string
}

func (b *book) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (b *book) WithAttrs([]slog.Attr) slog.Handler           { return b }
func (b *book) WithGroup(string) slog.Handler                { return b }

func (b *book) Handle(_ context.Context, r slog.Record) error {
	b.lines.Add(1)
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.Value.Resolve().String()
		return true
	})
	if strings.ContainsFunc(text, unicode.IsControl) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.dirty++; b.dirty == 1 {
			b.first = text
		}
	}
	return nil
}

// measured is what the victim has.
type measured struct {
	Heap        uint64 // bytes in use, after garbage collection
	Goroutines  int
	Descriptors int
	Exports     int
	Sessions    int
	Lines       int64 // of the log, in all
	Dirty       int   // of these, with control characters
	First       string
}

func (m measured) String() string {
	return fmt.Sprintf("%.1f MiB, %d goroutines, %d descriptors, %d exports, %d sessions, %d log lines", float64(m.Heap)/(1<<20), m.Goroutines, m.Descriptors, m.Exports, m.Sessions, m.Lines)
}

// beyond says of what there is more than before. The differences that count for nothing are what
// the bystander needs now and then, and in memory what the runtime keeps for goroutines
// and tables that were large once.
func (m measured) beyond(base measured) string {
	var more []string
	for _, c := range []struct {
		what       string
		now, limit int
	}{
		{"memory", int(m.Heap), int(base.Heap) + 12<<20},
		{"goroutines", m.Goroutines, base.Goroutines + 20},
		{"descriptors", m.Descriptors, base.Descriptors + 5},
		{"exports", m.Exports, base.Exports + 5},
		{"sessions", m.Sessions, base.Sessions + 3},
	} {
		if c.now > c.limit {
			more = append(more, c.what)
		}
	}
	return strings.Join(more, ", ")
}

// TestVictim is no test: it is the process that is attacked.
func TestVictim(t *testing.T) {
	if os.Getenv(victimEnv) == "" {
		t.Skip("started by the attacks")
	}
	log := new(book)
	slog.SetDefault(slog.New(log))
	n := rmi.NewNode(&rmi.Options{SessionLease: time.Second})
	defer n.Close()
	topic, err := callback.NewTopic(n, &callback.TopicOptions[string]{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rmi.Export[Target](n, target{}, &rmi.ExportOptions{Number: targetObject}); err != nil {
		t.Fatal(err)
	}
	if _, err := rmi.Export[callback.Source[string]](n, topic, &rmi.ExportOptions{Number: topicObject}); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Serve(t.Context(), n, &registry.ServeOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind[callback.Source[string]](t.Context(), n, reg.URL("victim/events"), topic, nil); err != nil {
		t.Fatal(err)
	}
	published := make(chan struct{})
	go func() {
		defer close(published)
		for n.Context().Err() == nil {
			if _, err := topic.Publish("news"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) // the pace of the events
		}
	}()
	fmt.Println("\nvictim at " + n.Endpoint().Address())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		runtime.GC()
		runtime.GC() // what has a cleanup goes with the second
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		st := n.Stats()
		log.mu.Lock()
		m := measured{mem.HeapInuse, runtime.NumGoroutine(), len(fds), st.Exports, st.Sessions, log.lines.Load(), log.dirty, log.first}
		log.mu.Unlock()
		say(t, in.Text(), m)
	}
	topic.Close()
	n.Close()
	<-published
}

// say answers a word.
func say(t *testing.T, word string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s: %s\n", word, b)
}
