// Package attack has no code of its own. Its tests are a suite of attacks on a node.
//
// Each test starts three parties. The victim is a process with an object, a registry and a topic.
// The bystander is a well-behaved client in a process of its own. It comes from another address,
// 127.0.0.2, and makes calls of all kinds the whole time: small and large ones, lookups, callbacks,
// events, new connections. The attacker is the test, at 127.0.0.1. It writes bytes by itself, so it
// keeps no rule that it does not want to keep.
//
// Each test asserts two things:
//
//  1. No call of the bystander fails, from before the attack until its traces are gone.
//  2. When the attacker has left, the victim's memory, goroutines, descriptors, exports and
//     sessions are back at what they were, within 30 seconds.
//
// The attacker has one address and no principal. So its share of what the victim has is 50 percent.
// The victim has the default options, but for SessionLease: a session that was left behind may stay
// for a minute by default, here for a second.
//
// What the bystander's calls take before the attack and during it is reported (go test -v), not
// asserted. All three share the machine's cores, so most of a difference is the attacker's own
// work.
//
// Each attack takes about a second. With RMI_LONG=1 it takes a minute, and no two tests run at
// once.
//
// The tests need Linux: the victim counts its descriptors in /proc/self/fd, and 127.0.0.2 is an
// address of every Linux machine.
//
// They run with RMI_ATTACK=1, or RMI_LONG=1, and are skipped otherwise: they take a minute of a
// whole machine, and .ci/run gives them one.
//
// # To add an attack
//
// Write a test that hands suffer a function. The function does harm until the context of the
// attacker ends, and returns how often it did. No harm at all fails the test: then the attack has
// missed. attacker.storm repeats something concurrently, attacker.dial and attacker.enter make
// connections and sessions. Connections are cut when the function returns.
package attack
