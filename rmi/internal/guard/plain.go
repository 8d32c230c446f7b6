//go:build !rmi_locks

package guard

import "sync"

// Checked reports whether this build checks the order of locks.
const Checked = false

// Mutex is a mutex with the state that it guards. The zero value is unlocked, with the zero
// state.
type Mutex[T any] struct {
	mu    sync.Mutex
	state T
}

// Lock locks m and returns its state, which is valid until Unlock.
func (m *Mutex[T]) Lock() *T {
	m.mu.Lock()
	return &m.state
}

// Unlock unlocks m.
func (m *Mutex[T]) Unlock() { m.mu.Unlock() }

// Allow adds nestings to those that are allowed.
func Allow([]Nesting) {}

// NoneHeld panics if the calling goroutine holds the lock of any Mutex.
func NoneHeld() {}

// Unseen returns the allowed nestings that have not happened yet.
func Unseen() []Nesting { return nil }
