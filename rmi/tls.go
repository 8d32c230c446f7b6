package rmi

import (
	"crypto/tls"

	"gormi/rmi/tlsfiles"
)

// TLSFromEnv makes a configuration for Options.TLS from PEM files that the environment names.
// $RMI_TLS_CERT and $RMI_TLS_KEY are the node's certificate and its key, $RMI_TLS_CA the
// authorities that it trusts. With $RMI_TLS_CA both ends of a connection prove who they are. If
// none is set, TLSFromEnv returns nil: no TLS. Files that are replaced are read again. Package
// tlsfiles says more; rmiregistry -init-tls makes such files.
func TLSFromEnv() (*tls.Config, error) { return tlsfiles.FromEnv() }
