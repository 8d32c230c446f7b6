package dynamic

import (
	"errors"
	"fmt"
	"log/slog"
)

// Face has the methods of a proxy besides those of its interface. By them it prints as what it is
// and is not taken for data. If the interface has a method of the same name, the proxy has that one
// instead. If the interface is a fmt.Stringer or an error, the proxy has no Format.
//
// A [Dispatcher] that implements Face answers for its proxies. Proxies of other dispatchers print
// that they are proxies.
type Face interface {
	fmt.Formatter
	fmt.Stringer
	fmt.GoStringer
	slog.LogValuer
	MarshalBinary() ([]byte, error) // encoding/gob and MessagePack use it too
	MarshalJSON() ([]byte, error)
	MarshalText() ([]byte, error) // and XML, YAML, TOML this one
}

// plain is the face of proxies whose dispatcher has none.
type plain struct{}

var _ Face = plain{}

const plainText = "dynamic proxy"

var errNoData = errors.New("dynamic: a proxy is not data")

func (plain) Format(s fmt.State, _ rune)     { fmt.Fprint(s, plainText) }
func (plain) String() string                 { return plainText }
func (plain) GoString() string               { return plainText }
func (plain) LogValue() slog.Value           { return slog.StringValue(plainText) }
func (plain) MarshalBinary() ([]byte, error) { return nil, errNoData }
func (plain) MarshalJSON() ([]byte, error)   { return nil, errNoData }
func (plain) MarshalText() ([]byte, error)   { return nil, errNoData }
