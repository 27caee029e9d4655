package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// forwards is the part of a kubelet that forwards ports, for all nodes of the tests: its own code for what is spoken with
// the API server, and in the place of a pod's network namespace the machine's loopback address. Nodes name its port, which
// is in the file "kubelet-port".
//
// A test makes it misbehave with a file "misbehave" in the folder, which the next forward takes and follows: "cut N" ends
// the stream from the pod after N bytes, "flip N" changes the byte after that many, "refuse" connects to nobody.
type forwards struct {
	server *server
}

// serveForwards listens until the process ends.
func (s *server) serveForwards() error {
	port, err := s.once("kubelet-port", freePort)
	if err != nil {
		return err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:"+port, &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	handler := http.NewServeMux()
	handler.HandleFunc("/portForward/{namespace}/{pod}", forwards{s}.serve)
	go func() { log.Print(http.Serve(listener, handler)) }()
	return nil
}

func (f forwards) serve(response http.ResponseWriter, request *http.Request) {
	options, err := portforward.NewV4Options(request)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(response, request, f, request.PathValue("pod"), "", options,
		time.Hour, time.Minute, portforward.SupportedProtocols)
}

// PortForward copies between the API server's stream and whoever listens at this port.
func (f forwards) PortForward(ctx context.Context, pod, uid string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	trouble, at, err := f.misbehaviour()
	if err != nil {
		return err
	}
	if trouble == "refuse" {
		return errors.New("nobody is to be reached just now")
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	var from io.Reader = connection
	switch trouble {
	case "cut":
		from = io.LimitReader(connection, at)
	case "flip":
		from = &flipping{connection, at}
	}
	sent, err := io.Copy(stream, from)
	return errors.Join(err, f.note(sent))
}

// note writes down how much a forward brought from the pod, a line for each, in the file "forwarded".
func (f forwards) note(sent int64) error {
	file, err := os.OpenFile(f.server.path("forwarded"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, sent)
	return errors.Join(err, file.Close())
}

// misbehaviour takes what the next forward is to do wrong, so that the one after it does not.
func (f forwards) misbehaviour() (what string, at int64, err error) {
	taken := f.server.path("misbehaved")
	if err := os.Rename(f.server.path("misbehave"), taken); errors.Is(err, os.ErrNotExist) {
		return "", 0, nil
	}
	content, err := os.ReadFile(taken)
	if err != nil {
		return "", 0, err
	}
	what, number, _ := strings.Cut(string(content), " ")
	if number != "" {
		at, err = strconv.ParseInt(number, 10, 64)
	}
	return what, at, err
}

// flipping changes one byte of what it reads.
type flipping struct {
	io.Reader
	left int64
}

func (f *flipping) Read(buffer []byte) (int, error) {
	read, err := f.Reader.Read(buffer)
	if f.left >= 0 && f.left < int64(read) {
		buffer[f.left] ^= 1
	}
	f.left -= int64(read)
	return read, err
}
