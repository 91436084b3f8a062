namespace ecp::ops { int stub(); int stub() { return 0; } }
