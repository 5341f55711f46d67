"""The networks in plain PyTorch: Show-o, MAGVIT-v2, their attention masks and checkpoints."""
