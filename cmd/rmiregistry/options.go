package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"gormi/registry"
)

// options are the command line's.
type options struct {
	addr, advertise              string
	tlsCert, tlsKey, tlsClientCA string
	initDir, tlsNames            string
	policy, checkPolicy          string
	as, do, name                 string
	insecure                     bool
	maxLease                     time.Duration
	logFormat                    string
	verbose, version             bool
}

func (o *options) flags() *flag.FlagSet {
	f := flag.NewFlagSet("rmiregistry", flag.ContinueOnError)
	f.SetOutput(io.Discard) // run prints errors and usage, each where it belongs
	f.StringVar(&o.addr, "addr", fmt.Sprintf("127.0.0.1:%d", registry.DefaultPort),
		"listen on `HOST:PORT`, port 0 for any that is free, or on the unix socket of an absolute path; beyond loopback only with TLS or -insecure")
	f.StringVar(&o.advertise, "advertise", "", "`HOST:PORT` at which others reach the registry, if that differs from -addr")
	f.StringVar(&o.tlsCert, "tls-cert", "", "secure connections with the certificate chain in `FILE` (PEM); default $RMI_TLS_CERT, with $RMI_TLS_KEY and $RMI_TLS_CA")
	f.StringVar(&o.tlsKey, "tls-key", "", "`FILE` of the certificate's private key (PEM)")
	f.StringVar(&o.tlsClientCA, "tls-client-ca", "", "accept only clients with a certificate of an authority in `FILE` (PEM)")
	f.StringVar(&o.initDir, "init-tls", "", "make an authority and certificates for a registry, servers and clients in `DIR`, print how to use them, and exit")
	f.StringVar(&o.tlsNames, "tls-names", "", "further `HOSTS`, separated by commas, for the certificates of -init-tls, which name this machine anyway")
	f.StringVar(&o.policy, "policy", "", "let peers do what the policy in `FILE` allows, and read it again at SIGHUP; default: peers of this machine may do everything, others with a certificate may look up and list and change what they bound, and anonymous ones nothing")
	f.StringVar(&o.checkPolicy, "check-policy", "", "check the policy in `FILE`, answer -as -do -name, and exit")
	f.StringVar(&o.as, "as", "", "`PRINCIPAL` that -check-policy is asked about, or @local")
	f.StringVar(&o.do, "do", "", "what it wants to do: `WORD` is bind, rebind, unbind, lookup, list, watch or admin")
	f.StringVar(&o.name, "name", "", "the `NAME` with which it wants to do that")
	f.BoolVar(&o.insecure, "insecure", false, "allow -addr beyond loopback without TLS")
	f.DurationVar(&o.maxLease, "max-lease", 10*time.Minute, "longest lease: keep a name at most `DURATION` after its holder renewed it; holders ask for 20s by default")
	f.StringVar(&o.logFormat, "log-format", "text", "`FORMAT` of the log on standard error: text or json")
	f.BoolVar(&o.verbose, "v", false, "log every binding and connection too")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	return f
}

// parse reads the command line. The error is flag.ErrHelp if help was asked for.
func parse(args []string) (*options, error) {
	o := new(options)
	f := o.flags()
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		if port, err := strconv.ParseUint(f.Arg(0), 10, 16); err == nil {
			return nil, fmt.Errorf("unexpected argument %q: the port is given by -addr 127.0.0.1:%d", f.Arg(0), port)
		}
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.addr == "":
		return nil, errors.New("-addr is empty: want host:port, the path of a unix socket, or udp:host:port")
	case o.logFormat != "text" && o.logFormat != "json":
		return nil, fmt.Errorf("-log-format is %q: want text or json", o.logFormat)
	case o.maxLease < time.Second:
		return nil, fmt.Errorf("-max-lease is %v: want at least 1s", o.maxLease)
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return nil, errors.New("-tls-cert and -tls-key go together")
	case o.tlsNames != "" && o.initDir == "":
		return nil, errors.New("-tls-names goes with -init-tls")
	case o.tlsClientCA != "" && o.tlsCert == "":
		return nil, errors.New("-tls-client-ca needs -tls-cert and -tls-key")
	}
	return o, o.checkFlags()
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: rmiregistry [flags]\n\nThe registry of GoRMI: it maps names to remote objects.\n\nFlags:\n")
	f := new(options).flags()
	f.SetOutput(w)
	f.PrintDefaults()
}

func (o *options) logger(w io.Writer) *slog.Logger {
	h := slog.HandlerOptions{Level: slog.LevelInfo}
	if o.verbose {
		h.Level = slog.LevelDebug
	}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &h))
	}
	return slog.New(slog.NewTextHandler(w, &h))
}

// version is one line that distinguishes this program from others of its name. It tells the
// released version, or the commit that the program was built from.
func version() string {
	info, _ := debug.ReadBuildInfo()
	return fmt.Sprintf("rmiregistry (GoRMI) %s; %s %s/%s", built(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// pseudo is the end of a version that the go command derives from a commit.
var pseudo = regexp.MustCompile(`[-.]\d{14}-[0-9a-f]{12}(\+dirty)?$`)

// built says what a program was built from. info may be nil.
func built(info *debug.BuildInfo) string {
	if info == nil {
		info = new(debug.BuildInfo)
	}
	vcs := make(map[string]string)
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	commit := vcs["vcs.revision"]
	switch v := info.Main.Version; {
	case v != "" && v != "(devel)" && (commit == "" || !pseudo.MatchString(v)):
		return v
	case commit == "":
		return "development version, of no commit that is known"
	}
	s := "development version, commit " + commit[:min(12, len(commit))]
	if day, _, ok := strings.Cut(vcs["vcs.time"], "T"); ok {
		s += " of " + day
	}
	if vcs["vcs.modified"] == "true" {
		s += ", with changes"
	}
	return s
}
