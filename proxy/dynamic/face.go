package dynamic

import (
	"errors"
	"fmt"
	"log/slog"
)

// Face is what a proxy has beside the methods of its interface: it prints as what it is, and does not pass for data.
// A proxy lacks those of the methods whose name its interface has for a method of its own, and Format if the interface
// is a fmt.Stringer or an error.
//
// A [Dispatcher] that implements Face answers for its proxies. Those of other dispatchers say that they are proxies.
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

var errNoData = errors.New("dynamic: a proxy is no data")

func (plain) Format(s fmt.State, _ rune)     { fmt.Fprint(s, plainText) }
func (plain) String() string                 { return plainText }
func (plain) GoString() string               { return plainText }
func (plain) LogValue() slog.Value           { return slog.StringValue(plainText) }
func (plain) MarshalBinary() ([]byte, error) { return nil, errNoData }
func (plain) MarshalJSON() ([]byte, error)   { return nil, errNoData }
func (plain) MarshalText() ([]byte, error)   { return nil, errNoData }
