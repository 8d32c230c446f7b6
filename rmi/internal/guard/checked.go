//go:build rmi_locks

package guard

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// Checked reports whether this build checks the order of locks.
const Checked = true

// Mutex is a mutex with the state that it guards. The zero value is unlocked, with the zero
// state.
type Mutex[T any] struct {
	mu    sync.Mutex
	state T
}

// Lock locks m and returns its state, which is valid until Unlock.
func (m *Mutex[T]) Lock() *T {
	taking(reflect.TypeFor[T]())
	m.mu.Lock()
	return &m.state
}

// Unlock unlocks m.
func (m *Mutex[T]) Unlock() {
	m.mu.Unlock()
	released(reflect.TypeFor[T]())
}

// checker knows who holds what.
var checker = struct {
	sync.Mutex
	allowed []Nesting
	seen    []bool                    // of allowed
	held    map[uint64][]reflect.Type // by goroutine, in the order in which they were taken
}{held: make(map[uint64][]reflect.Type)}

// Allow adds nestings to those that are allowed.
func Allow(nestings []Nesting) {
	checker.Lock()
	defer checker.Unlock()
	checker.allowed = append(checker.allowed, nestings...)
	checker.seen = append(checker.seen, make([]bool, len(nestings))...)
}

// taking notes that the calling goroutine is about to take a lock.
func taking(t reflect.Type) {
	g := goroutine()
	checker.Lock()
	defer checker.Unlock()
	for _, h := range checker.held[g] {
		i := slices.IndexFunc(checker.allowed, func(n Nesting) bool { return n.Held == h && n.Taken == t })
		if i < 0 {
			panic(fmt.Sprintf("guard: the lock of %v is taken while that of %v is held, which no nesting allows", t, h))
		}
		checker.seen[i] = true
	}
	checker.held[g] = append(checker.held[g], t)
}

// released notes that the calling goroutine has released a lock.
func released(t reflect.Type) {
	g := goroutine()
	checker.Lock()
	defer checker.Unlock()
	held := checker.held[g]
	i := slices.Index(held, t)
	if i < 0 {
		panic(fmt.Sprintf("guard: the lock of %v is released by a goroutine that did not take it", t))
	}
	if held = slices.Delete(held, i, i+1); len(held) == 0 {
		delete(checker.held, g)
	} else {
		checker.held[g] = held
	}
}

// NoneHeld panics if the calling goroutine holds the lock of any Mutex.
func NoneHeld() {
	g := goroutine()
	checker.Lock()
	defer checker.Unlock()
	if held := checker.held[g]; len(held) > 0 {
		panic(fmt.Sprintf("guard: the locks of %v are held where none may be", held))
	}
}

// Unseen returns the allowed nestings that have not happened yet.
func Unseen() []Nesting {
	checker.Lock()
	defer checker.Unlock()
	var unseen []Nesting
	for i, n := range checker.allowed {
		if !checker.seen[i] {
			unseen = append(unseen, n)
		}
	}
	return unseen
}

// goroutine is the number of the calling goroutine. Only a stack trace has it: "goroutine 12
// [running]: ...".
func goroutine() uint64 {
	var buf [32]byte
	_, b, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte(" "))
	b, _, _ = bytes.Cut(b, []byte(" "))
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("guard: no number of a goroutine in %q", buf))
	}
	return n
}
