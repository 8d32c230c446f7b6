package rmi

import (
	"crypto/tls"

	"gormi/rmi/tlsfiles"
)

// TLSFromEnv makes Options.TLS of the files that the environment names: $RMI_TLS_CERT and
// $RMI_TLS_KEY have the node's certificate and its key, $RMI_TLS_CA those whom it trusts to
// make certificates, in PEM form. If none is set it returns nil, no TLS. With $RMI_TLS_CA
// both ends of a connection prove who they are. Files that are replaced are taken up.
// Package tlsfiles says more; rmiregistry -init-tls makes such files.
func TLSFromEnv() (*tls.Config, error) { return tlsfiles.FromEnv() }
