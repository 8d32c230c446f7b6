// Package guard hides state from everybody but the holder of its lock, and checks in which
// order locks are taken.
//
// A [Mutex] contains the state that it guards. Only Lock returns that state. Code that needs
// the lock is a method of the state's type. So whoever calls it has the lock, and the compiler
// checks that.
//
// A goroutine may hold two locks only if a [Nesting] allows it. A build with the tag rmi_locks
// checks every Lock against the nestings that were given to [Allow], and panics at the first
// that none allows. In other builds a Mutex costs what a sync.Mutex does.
package guard

import "reflect"

// Nesting allows a goroutine that holds one lock to take another. A lock is known by the
// type of its state.
type Nesting struct {
	Held, Taken reflect.Type
	Where       string // when it happens, for people
}

// Nest returns the nesting in which Held's lock is held and Taken's is taken.
func Nest[Held, Taken any](where string) Nesting {
	return Nesting{reflect.TypeFor[Held](), reflect.TypeFor[Taken](), where}
}

// Cycle returns locks each of which may be taken while the one before it is held, and the first
// while the last is held. It returns nil if the nestings have no such cycle, and so no
// deadlock.
func Cycle(nestings []Nesting) []reflect.Type {
	var path []reflect.Type
	var from func(t reflect.Type) []reflect.Type
	from = func(t reflect.Type) []reflect.Type {
		for i, on := range path {
			if on == t {
				return path[i:]
			}
		}
		path = append(path, t)
		for _, n := range nestings {
			if n.Held == t {
				if cycle := from(n.Taken); cycle != nil {
					return cycle
				}
			}
		}
		path = path[:len(path)-1]
		return nil
	}
	for _, n := range nestings {
		if cycle := from(n.Held); cycle != nil {
			return cycle
		}
	}
	return nil
}
