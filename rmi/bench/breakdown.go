package main

func breakdown(options) error        { return nil }
func breakdownServer([]string) error { return nil }
