package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// tlsFailed is the error of a TLS handshake that failed. If the two sides do not trust each
// other, or only one of them wants TLS, its kind is Denied. It is not ConnectFailed, because
// somebody answered.
func tlsFailed(err error) *fault.Error {
	denied := func(text string) *fault.Error {
		return fault.New(fault.KindDenied, fault.OutcomeNotExecuted, "TLS: "+text+": %w", err)
	}
	if f := tlsRefused(err); f != nil {
		return f
	}
	var (
		plain     tls.RecordHeaderError
		untrusted *tls.CertificateVerificationError
		host      x509.HostnameError
		unknown   x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &plain):
		return denied("the other side does not use it, and Options.TLS is to be set on both sides or on neither")
	case errors.As(err, &host):
		return denied("the peer's certificate is for another name than it was dialled by: use that name in addresses and in the owner's Options.Advertise, or set ServerName in Options.TLS")
	case errors.As(err, &unknown):
		return denied("nobody whom this node trusts made the peer's certificate: put its authority into RootCAs (of those who call) or ClientCAs (of those who are called) in Options.TLS")
	case errors.As(err, &untrusted):
		return denied("the peer's certificate is not accepted")
	}
	return fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "TLS: the connection was lost in the handshake: %w", err)
}

// tlsRefused is the error for the alert that the other side sent, or nil if it sent none. An
// alert may come after the dialling side has finished its part of the handshake.
func tlsRefused(err error) *fault.Error {
	var said *net.OpError
	if !errors.As(err, &said) || said.Op != "remote error" {
		return nil
	}
	return fault.New(fault.KindDenied, fault.OutcomeNotExecuted,
		"TLS: the other side refuses this one: does it want a certificate (Certificates in Options.TLS), or another? It said: %w", said.Err)
}

// refusePlain tells a node that began without TLS why it is refused.
func (h *handshake) refusePlain(err error) {
	var plain tls.RecordHeaderError
	if h.dialler || !errors.As(err, &plain) || plain.Conn == nil || string(plain.RecordHeader[:]) != wire.Magic[:len(plain.RecordHeader)] {
		return
	}
	_ = plain.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	_, _ = plain.Conn.Write(wire.AppendRefuse([]byte(wire.Magic), fault.KindDenied, "this node wants TLS: set Options.TLS on both sides"))
}
