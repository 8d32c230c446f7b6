// Package examples holds programs, one in each folder. Its test follows the README: a module of
// one's own, from zero.
package examples
