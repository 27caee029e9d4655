// Command apiserver runs a real Kubernetes API server for tests: kube-apiserver with etcd and, if asked for, the
// controllers that make Pods of Deployments and Jobs. No scheduler and of a kubelet only what forwards ports (kubelet.go):
// tests play their parts through the API.
//
//	apiserver --data DIR [--controllers]
//
// Everything it keeps is in DIR, its port too: started again on the same folder it is the same server. It listens on
// 127.0.0.1 only. When it is ready it prints one line, the path of a kubeconfig of an administrator; beside that one is
// agent.kubeconfig, of the user "agent", who may do nothing until a test allows it. It ends at SIGTERM, SIGINT, or when
// its standard input is closed, and takes its children with it, also when it is killed itself.
//
// kube-apiserver and kube-controller-manager are this same program, started with their names as the first argument:
// their libraries set up signals, logs and flags for a process of their own.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	clientcmd "k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const (
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
	// How long a start may take on a busy machine.
	patience = 2 * time.Minute
)

// users that the server knows by their tokens, and the groups they are in.
var users = map[string]string{"admin": "system:masters", "agent": ""}

func init() {
	// Children die with the thread that started them (PR_SET_PDEATHSIG): that has to be the one that lives as long as
	// the process, which is where main runs.
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case apiServerName, controllerManagerName:
			os.Exit(component(os.Args[1], os.Args[2:]))
		}
	}
	data := flag.String("data", "", "folder that everything is kept in")
	controllers := flag.Bool("controllers", false, "also run the controllers of Deployments, Jobs and the like")
	flag.Parse()
	if *data == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: apiserver --data DIR [--controllers]")
		os.Exit(2)
	}
	if err := run(*data, *controllers); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

// component is one of Kubernetes' own programs.
func component(name string, arguments []string) int {
	command := apiserver.NewAPIServerCommand
	if name == controllerManagerName {
		command = controllermanager.NewControllerManagerCommand
	}
	built := command()
	built.SetArgs(arguments)
	return cli.Run(built)
}

// run starts everything and stays until it is told to stop or something ends by itself.
func run(data string, controllers bool) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(closed)
	}()

	data, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	server, err := prepare(data)
	if err != nil {
		return err
	}
	etcd, err := startEtcd(server)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	if err := server.serveForwards(); err != nil {
		return fmt.Errorf("forwarding ports: %w", err)
	}
	ended := make(chan error, 2)
	stop, err := start(server, ended, apiServerName, server.apiServerFlags()...)
	if err != nil {
		return err
	}
	defer stop()
	ready := make(chan error, 1)
	go func() { ready <- server.becomeReady() }()

	for {
		select {
		case err := <-ready:
			if err != nil {
				return err
			}
			if controllers {
				stop, err := start(server, ended, controllerManagerName, server.controllerFlags()...)
				if err != nil {
					return err
				}
				defer stop()
			}
			fmt.Println(server.kubeconfig("admin"))
		case err := <-ended:
			return err
		case <-told:
			return nil
		case <-closed:
			return nil
		}
	}
}

// start runs this program as one of Kubernetes' own, with its messages in a file.
func start(server *server, ended chan<- error, name string, flags ...string) (stop func(), err error) {
	log, err := os.OpenFile(server.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	child := exec.Command("/proc/self/exe", append([]string{name}, flags...)...)
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	gone := make(chan struct{})
	go func() {
		err := child.Wait()
		close(gone)
		ended <- fmt.Errorf("%s ended: %v, see %s", name, err, log.Name())
	}()
	return func() {
		_ = child.Process.Kill()
		<-gone
	}, nil
}

// server is what the folder holds.
type server struct {
	data string
	port string
	// Of the users, by name.
	tokens map[string]string
}

func (s *server) path(name string) string       { return filepath.Join(s.data, name) }
func (s *server) kubeconfig(user string) string { return s.path(user + ".kubeconfig") }
func (s *server) certificate() string           { return s.path("apiserver.crt") }
func (s *server) etcdSocket() url.URL           { return url.URL{Scheme: "unix", Path: s.path("etcd.sock")} }

// prepare makes what is missing in the folder. Tokens are as secret as the folder's files are private.
func prepare(data string) (*server, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	s := &server{data: data, tokens: map[string]string{}}
	var err error
	if s.port, err = s.once("port", freePort); err != nil {
		return nil, err
	}
	var table strings.Builder
	for user, group := range users {
		token, err := s.once(user+".token", func() (string, error) { return rand.Text(), nil })
		if err != nil {
			return nil, err
		}
		s.tokens[user] = token
		fmt.Fprintf(&table, "%s,%s,%s,%s\n", token, user, user, group)
	}
	if err := os.WriteFile(s.path("tokens.csv"), []byte(table.String()), 0o600); err != nil {
		return nil, err
	}
	_, err = s.once("service-accounts.key", newKey)
	return s, err
}

// once reads a file, or makes it.
func (s *server) once(name string, make func() (string, error)) (string, error) {
	content, err := os.ReadFile(s.path(name))
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return string(content), err
	}
	made, err := make()
	if err != nil {
		return "", err
	}
	return made, os.WriteFile(s.path(name), []byte(made), 0o600)
}

// freePort is a port that nobody listens on just now.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// newKey signs the tokens of service accounts.
func newKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})), err
}

// startEtcd keeps the cluster's objects, reached through a socket in the folder. A test's data need not survive the
// machine, so it does not wait for the disk.
func startEtcd(s *server) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = s.path("etcd")
	socket := s.etcdSocket()
	config.ListenClientUrls = []url.URL{socket}
	// It has no peers. The addresses that it advertises (the defaults) are names for itself, which nobody listens on.
	config.ListenPeerUrls = nil
	config.UnsafeNoFsync = true
	config.LogLevel = "warn"
	config.LogOutputs = []string{s.path("etcd.log")}
	// Left behind where we were killed.
	_ = os.Remove(socket.Path)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err := <-etcd.Err():
		return nil, err
	case <-time.After(patience):
		etcd.Close()
		return nil, errors.New("not ready in time")
	}
}

func (s *server) apiServerFlags() []string {
	etcd := s.etcdSocket()
	return []string{
		"--etcd-servers=" + etcd.String(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + s.port,
		"--cert-dir=" + s.data, // makes apiserver.crt and apiserver.key, signed by itself
		"--token-auth-file=" + s.path("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + s.path("service-accounts.key"),
		"--service-account-key-file=" + s.path("service-accounts.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		// Refuses to write the loopback address into the endpoints of the service "kubernetes", and has no need to.
		"--endpoint-reconciler-type=none",
		// It wants a service account in every namespace, which only a controller that we do not run makes.
		"--disable-admission-plugins=ServiceAccount",
	}
}

// controllerFlags runs those controllers that make objects of others, and roles of roles. The rest would delete Pods: there is no node.
func (s *server) controllerFlags() []string {
	return []string{
		"--kubeconfig=" + s.kubeconfig("admin"),
		"--controllers=deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller," +
			"job-controller,cronjob-controller,clusterrole-aggregation-controller",
		"--leader-elect=false",
		"--secure-port=0",
	}
}

// becomeReady waits for the server's own word, and writes the kubeconfigs.
func (s *server) becomeReady() error {
	deadline := time.Now().Add(patience)
	for ; ; time.Sleep(50 * time.Millisecond) {
		err := s.isReady()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready in time: %w, see %s", err, s.path(apiServerName+".log"))
		}
	}
	for user := range users {
		if err := s.writeKubeconfig(user); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) isReady() error {
	certificate, err := os.ReadFile(s.certificate())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
		Timeout:   5 * time.Second,
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url()+"/readyz", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.tokens["admin"])
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s", response.Status)
	}
	return nil
}

func (s *server) url() string { return "https://127.0.0.1:" + s.port }

func (s *server) writeKubeconfig(user string) error {
	certificate, err := os.ReadFile(s.certificate())
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: s.url(), CertificateAuthorityData: certificate}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: s.tokens[user]}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: user, Namespace: "default"}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, s.kubeconfig(user))
}
