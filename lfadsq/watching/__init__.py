"""What people look at while runs are trained, and after: logs, TensorBoard, folders."""
