// github.com/jlaffaye/ftp: deliver RECIPE VERB ARGUMENT...
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jlaffaye/ftp"
)

// recipe
// A configuration for each FTP session. The cache is what makes data channels resume the control
// channel's TLS session; Go has none unless it is given one. (With one cache for several sessions,
// a data channel may offer that of a session which has ended, and is refused.)
var settings = func() *tls.Config {
	return &tls.Config{
		ServerName:         os.Getenv("FTPS_HOST"),
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
}

func connect() (*ftp.ServerConn, error) {
	address := os.Getenv("FTPS_HOST") + ":" + os.Getenv("FTPS_PORT")
	server, err := ftp.Dial(address, ftp.DialWithExplicitTLS(settings()), ftp.DialWithTimeout(30*time.Second))
	if err != nil {
		return nil, err
	}
	return server, server.Login(os.Getenv("FTPS_USER"), os.Getenv("FTPS_PASSWORD"))
}

func put(server *ftp.ServerConn, local, remote string) error {
	file, err := os.Open(local)
	if err != nil {
		return err
	}
	defer file.Close()
	return server.Stor(remote, file)
}

func resume(server *ftp.ServerConn, local, remote string) error {
	file, err := os.Open(local)
	if err != nil {
		return err
	}
	defer file.Close()
	offset, err := server.FileSize(remote)
	if err != nil {
		return err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	return server.StorFrom(remote, file, uint64(offset))
}

// end of recipe

// choose changes the recipe's configuration for the trial.
func choose(recipe string) {
	made := settings
	settings = func() *tls.Config {
		config := made()
		switch recipe {
		case "as-it-comes":
			config.ClientSessionCache = nil
		case "tls12":
			config.MaxVersion = tls.VersionTLS12
		}
		return config
	}
}

func get(server *ftp.ServerConn, remote, local string) error {
	reader, err := server.Retr(remote)
	if err != nil {
		return err
	}
	file, err := os.Create(local)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, reader); err != nil {
		return err
	}
	return reader.Close()
}

func list(server *ftp.ServerConn, remote string) error {
	entries, err := server.List(remote)
	for _, entry := range entries {
		fmt.Println(entry.Name)
	}
	return err
}

// some puts every step-th file of a directory, in one session.
func some(directory, remote string, first, step int) error {
	server, err := connect()
	if err != nil {
		return err
	}
	defer server.Quit()
	files, err := filepath.Glob(filepath.Join(directory, "*"))
	for n := first; err == nil && n < len(files); n += step {
		err = put(server, files[n], path.Join(remote, filepath.Base(files[n])))
	}
	return err
}

func four(directory, remote string) error {
	var sessions sync.WaitGroup
	errors := make(chan error, 4)
	for n := 0; n < 4; n++ {
		sessions.Add(1)
		go func(n int) {
			defer sessions.Done()
			if err := some(directory, remote, n, 4); err != nil {
				errors <- err
			}
		}(n)
	}
	sessions.Wait()
	close(errors)
	return <-errors
}

func version() {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		fmt.Printf("jlaffaye/ftp %s, %s\n", module.Version, info.GoVersion)
	}
}

func run(verb string, arguments []string) error {
	switch verb {
	case "version":
		version()
		return nil
	case "puts":
		return some(arguments[0], arguments[1], 0, 1)
	case "four":
		return four(arguments[0], arguments[1])
	}
	server, err := connect()
	if err != nil {
		return err
	}
	defer server.Quit()
	switch verb {
	case "put":
		return put(server, arguments[0], arguments[1])
	case "resume":
		return resume(server, arguments[0], arguments[1])
	case "get":
		return get(server, arguments[0], arguments[1])
	case "list":
		return list(server, arguments[0])
	case "rename":
		return server.Rename(arguments[0], arguments[1])
	case "delete":
		return server.Delete(arguments[0])
	}
	os.Exit(64)
	return nil
}

func main() {
	choose(os.Args[1])
	if err := run(os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
