package registry

import (
	"errors"
	"net/url"
	"os"
	"strings"

	"gormi/refs"
)

const (
	// DefaultPort is the port of a registry whose URL has none.
	DefaultPort = 1099

	// Env is the environment variable with the address of the default registry, such as
	// "rmi://host:port".
	Env = "RMI_REGISTRY"

	scheme    = "rmi://"
	schemeUDP = "rmi+udp://" // the registry's node is reached by datagrams
)

// URL is the address of a registry and a name in it. With an empty name it is the address of
// the registry itself.
type URL struct {
	Endpoint refs.Endpoint
	Name     string
}

// ParseURL parses the forms that the package documentation lists. Errors are of kind
// rmi.KindInvalid.
func ParseURL(s string) (URL, error) {
	u, err := splitURL(s)
	if err == nil && u.Name != "" {
		err = ValidName(u.Name)
	}
	if err != nil {
		return URL{}, err
	}
	return u, nil
}

// splitURL is ParseURL without the check of the name.
func splitURL(s string) (URL, error) {
	begins := schemeOf(s)
	if begins == "" {
		if before, _, ok := strings.Cut(s, "://"); ok {
			return URL{}, invalid("%.64q is no address of a registry: it begins with rmi://, not with %.16q", s, before+"://")
		}
		ep, err := defaultRegistry()
		return URL{ep, s}, err
	}
	authority, name, _ := strings.Cut(s[len(begins):], "/")
	ep, err := parseAuthority(authority)
	if ep.UDP = begins == schemeUDP; ep.UDP && ep.IsUnix() {
		err = errors.New("a unix socket takes no datagrams")
	}
	if err != nil {
		return URL{}, invalid("%.300q is no address of a registry (want rmi://HOST:PORT/NAME): %v", s, err)
	}
	return URL{ep, name}, nil
}

// schemeOf returns what the URL begins with, "" if s is no URL of a registry.
func schemeOf(s string) string {
	for _, scheme := range []string{scheme, schemeUDP} {
		if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return scheme
		}
	}
	return ""
}

// defaultRegistry is the address for names without one.
func defaultRegistry() (refs.Endpoint, error) {
	s := os.Getenv(Env)
	if s == "" {
		return refs.Endpoint{Host: "localhost", Port: DefaultPort}, nil
	}
	if schemeOf(s) != "" {
		if u, err := splitURL(s); err == nil && u.Name == "" {
			return u.Endpoint, nil
		}
	}
	return refs.Endpoint{}, invalid("the environment variable %s is %.64q: want rmi://HOST:PORT", Env, s)
}

// parseAuthority reads what stands between "rmi://" and the next "/".
func parseAuthority(s string) (refs.Endpoint, error) {
	a, err := url.PathUnescape(s)
	if err != nil {
		return refs.Endpoint{}, err
	}
	switch {
	case a == "" || strings.LastIndexByte(a, ':') == 0:
		return refs.Endpoint{}, errors.New("the host is missing")
	case a[0] == '/' || a[0] == '@': // a unix socket
	case strings.HasSuffix(a, "]") || !strings.Contains(a, ":"):
		a += ":1099"
	}
	ep, err := refs.ParseEndpoint(a)
	switch {
	case err != nil:
	case ep.UDP:
		err = errors.New("for UDP write rmi+udp://HOST:PORT")
	case !ep.Listens():
		err = errors.New("nobody listens on port 0")
	}
	return ep, err
}

// String returns the URL as ParseURL reads it.
func (u URL) String() string {
	scheme, host := scheme, u.Endpoint.Host
	if u.Endpoint.UDP {
		scheme = schemeUDP
	}
	if u.Endpoint.IsUnix() {
		// QueryEscape leaves nothing that means something in an authority.
		host = strings.ReplaceAll(url.QueryEscape(host), "+", "%20")
	} else {
		host = strings.Replace(u.Endpoint.Address(), "%", "%25", 1) // of a zone
	}
	if u.Name == "" {
		return scheme + host
	}
	return scheme + host + "/" + u.Name
}
