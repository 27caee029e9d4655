// Command helm is Helm itself, as its own cmd/helm is, without the plugins that log in at cloud providers: the tests render
// and check the chart of deploy/chart with it.
package main

import (
	"errors"
	"fmt"
	"os"

	"helm.sh/helm/v4/pkg/cmd"
)

func main() {
	root, err := cmd.NewRootCmd(os.Stdout, os.Args[1:], cmd.SetupLogging)
	if err != nil {
		fmt.Fprintln(os.Stderr, "helm:", err)
		os.Exit(1)
	}
	// It says itself what went wrong.
	err = root.Execute()
	if command, ok := errors.AsType[cmd.CommandError](err); ok {
		os.Exit(command.ExitCode)
	}
	if err != nil {
		os.Exit(1)
	}
}
